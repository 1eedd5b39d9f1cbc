"""Serves the routes on one listening socket until it is told to stop: the house's door."""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser

from taskhub.http.connection import Connection, Door
from taskhub.http.context import ApiContext
from taskhub.http.dispatch import Dispatch
from taskhub.http.openapi import described
from taskhub.http.patience import Patience
from taskhub.http.request_ids import RequestIds
from taskhub.http.routes import MESSAGES, ROUTES
from taskhub.obs.telemetry import Complained

BACKLOG = 1_024
CONNECTIONS = 10_000
SPARE_FILES = 128
"""File descriptors that connections leave to the database, the log and the events."""
KEEP_ALIVE = 3.0
"""How many header deadlines a connection may be idle between two requests."""
LAME_DUCK = 0.5
"""Seconds in which kept connections still get an answer, and with it the news of the end."""
DRAIN = 8.0
"""Seconds that requests have to end when the server stops."""
HURRY = 1.0
"""Seconds for the same when it is cancelled."""
LINGER = 2.0
"""Seconds in which the rest of a refused body is read, so that its sender sees the answer."""


@asynccontextmanager
async def serving(
    context: ApiContext, sock: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Answer requests that come to a bound socket, while the block runs; then end in peace.

    The socket itself stays open: it is the caller's, and the next server's after a restart.
    """
    door = _door(context)
    door.is_secure = tls is not None
    dispatch = Dispatch(described(ROUTES, MESSAGES), context, door, context.settings().cors)
    runner = web.AppRunner(dispatch.application(), access_log=None, shutdown_timeout=DRAIN)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("aiohttp has made no server")
    dispatch.attach(runner.server)
    _let_wait(context)
    await context.types.look()
    _warn_of_slow_parser(context)
    async with asyncio.TaskGroup() as group:
        chores = [
            group.create_task(context.waiters.run(), name="http waiters"),
            group.create_task(context.cancels.run(), name="http cancels"),
            group.create_task(context.bench.run(), name="http workers"),
            group.create_task(context.live.run(), name="http events"),
            group.create_task(context.verifier.keyring.run(), name="http keys"),
            group.create_task(context.types.run(), name="http types"),
            group.create_task(context.limits.run(), name="http limits"),
            group.create_task(_sweep(door, context.patience), name="http deadlines"),
        ]
        listener = await _listen(runner.server, door, (sock, tls))
        left = HURRY  # when we are cancelled, nobody has patience left
        try:
            yield
            await _say_goodbye(listener, door, context)
            door.cut_slow()
            left = 2 * DRAIN
        finally:
            listener.close()
            _send_home(context)
            try:
                async with asyncio.timeout(left):
                    await runner.cleanup()
            except TimeoutError:
                door.cut_rest()
            for chore in chores:
                chore.cancel()


def _let_wait(context: ApiContext) -> None:
    context.waiters.open()
    context.cancels.open()
    context.bench.open()
    context.live.open()


def _send_home(context: ApiContext) -> None:
    """Whoever waits for something is answered now; may be said twice."""
    context.waiters.close()
    context.cancels.close()
    context.bench.close()
    context.live.close()
    context.verifier.keyring.close()


def _door(context: ApiContext) -> Door:
    settings = context.settings().http
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Door(
        emit=context.emit,
        ids=RequestIds(secrets.token_hex(5)),
        header_timeout=settings.header_timeout,
        stall_timeout=settings.body_timeout,
        connections_limit=max(64, min(CONNECTIONS, files - SPARE_FILES)),
        has_access_log=lambda: context.settings().http.access_log,
    )


async def _listen(
    manager: web.Server, door: Door, place: tuple[socket.socket, ssl.SSLContext | None]
) -> asyncio.Server:
    loop, (sock, tls) = asyncio.get_running_loop(), place

    def welcome() -> Connection:
        return Connection(
            manager,
            door,
            loop=loop,
            access_log=None,  # the requests have telemetry of their own
            keepalive_timeout=door.header_timeout * KEEP_ALIVE,
            lingering_time=LINGER,
        )

    is_secure = tls is not None
    return await loop.create_server(
        welcome,
        sock=sock.dup(),
        backlog=BACKLOG,
        ssl=tls,
        ssl_handshake_timeout=door.header_timeout if is_secure else None,
        ssl_shutdown_timeout=LINGER if is_secure else None,
    )


async def _say_goodbye(listener: asyncio.Server, door: Door, context: ApiContext) -> None:
    """Take no new clients; tell the others by `Connection: close`, as long as they still ask."""
    listener.close()
    door.is_draining = True
    _send_home(context)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAME_DUCK):
            while door.open:
                door.emptied.clear()
                await door.emptied.wait()


async def _sweep(door: Door, patience: Patience) -> None:
    """Look each second, or more often where deadlines are short, for what takes too long."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(min(1.0, door.stall_timeout / 4))
        door.sweep(loop.time())
        patience.look()


def _warn_of_slow_parser(context: ApiContext) -> None:
    if HttpRequestParser.__module__ != "aiohttp._http_parser":
        text = "aiohttp runs without its compiled parser: slower, and less strict with bad requests"
        context.emit(Complained(text=text))
