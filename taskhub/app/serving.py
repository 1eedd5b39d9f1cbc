"""Puts the API of a process together."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from taskhub.actors.api import Api
from taskhub.app.backends import make_backlog_watch, make_counts
from taskhub.app.restarts import Restarts
from taskhub.app.tracing import tracing_of
from taskhub.http.auth import Verifier
from taskhub.http.catalog import Catalog
from taskhub.http.context import ActorRow, ApiContext, PartHealth
from taskhub.http.external.bench import Bench
from taskhub.http.external.claiming import giving_back
from taskhub.http.limits import Limits
from taskhub.http.live.tail import Tail
from taskhub.http.oidc.keyring import Keyring
from taskhub.http.patience import Patience
from taskhub.http.server import serving
from taskhub.http.tls import Tls
from taskhub.http.waiting import for_cancels, for_ends
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.call import Refused, Unreachable, call
from taskhub.obs.exposition import Exposition, dressed
from taskhub.obs.telemetry import BacklogSeen
from taskhub.work.builtins import fail, simulate, transform
from taskhub.work.outbound.http_task import http_handler
from taskhub.work.registry import Registry

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from taskhub.app.process import Process
    from taskhub.config.sections import Config
    from taskhub.http.backlog import Backlog

STOP = 15.0
"""Seconds that requests in flight may take to end when the API stops."""


def api_spec(process: Process) -> ChildSpec:
    """The child spec of the API on the socket that was bound for it."""
    listener = process.listener
    assert listener is not None, "the API's socket is bound before its process starts"
    context, tls = _context(process), Tls(process.emit)
    tls.prepare(process.live.config.http)
    tls.apply()
    process.rings += [context.waiters.rang, context.bench.rang, context.live.rang]
    process.rings += [context.types.rang, context.cancels.rang]
    _watch_backlog(process, context.backlog)
    process.checks.append(lambda config: Verifier(config.jwt))
    process.checks.append(lambda config: tls.prepare(config.http))
    process.follows.append(lambda _: tls.apply())
    process.follows.append(_Follow(process, context).apply)
    return ChildSpec("api", lambda: Api(_door(context, listener, tls)), stop_timeout=STOP)


def _watch_backlog(process: Process, backlog: Backlog) -> None:
    """Have it learn what waits; while the event server is away nothing is, and nothing refused."""
    watch = make_backlog_watch(process.live.config, process.name, process.emit)
    if watch is None:
        return

    def learn(waiting: int, age: float) -> None:
        backlog.learn(waiting, age)
        process.emit(BacklogSeen(ratio=backlog.ratio(process.live.config.limits)))

    async def look(is_up: Callable[[], None]) -> None:
        try:
            await watch.run(is_up, learn)
        finally:
            learn(0, 0.0)

    process.ways.append(look)


def _door(
    context: ApiContext, listener: socket.socket, tls: Tls
) -> Callable[[], AbstractAsyncContextManager[None]]:
    return lambda: serving(context, listener, tls.context)


class _Follow:
    """What a reload changes in the API: keys at once, origins by a restart of the actor.

    Issuers that publish their keys are asked anew: who has withdrawn one need not wait.
    """

    def __init__(self, process: Process, context: ApiContext) -> None:
        self._process, self._context = process, context
        self._before = process.live.config

    def apply(self, config: Config) -> None:
        before, self._before = self._before, config
        keyring = self._context.verifier.keyring
        if config.jwt != before.jwt:
            self._context.verifier = Verifier(config.jwt, keyring=keyring)
        keyring.hurry()
        self._context.limits.follow(config.limits)
        needs_new_server = config.cors != before.cors or _door_of(config) != _door_of(before)
        if needs_new_server and self._process.supervisor is not None:
            self._process.supervisor.ask_restart("api")


def _door_of(config: Config) -> tuple[float, float, bool]:
    """What of `[http]` a server is made with; the rest it looks up at each request."""
    section = config.http
    return section.header_timeout, section.body_timeout, bool(section.tls_certificate)


def _context(process: Process) -> ApiContext:
    keyring, config = Keyring(process.emit), process.live.config
    view = _View(process, keyring)
    process.issuers = keyring.health
    counts = make_counts(config, process.name, process.emit)
    return ApiContext(
        store_box=process.boxes.store,
        store=process.store,
        verifier=Verifier(config.jwt, keyring=keyring),
        emit=process.emit,
        settings=process.live,
        types=Catalog(
            process.store.types,
            Registry.of(simulate, transform, fail, http_handler(None)).types(),
            takes_unknown=lambda: process.live.config.http.unknown_types == "accept",
        ),
        health=view.health,
        metrics=view.metrics,
        actors=view.actors,
        restarts=Restarts(process),
        waiters=for_ends(process.store.get),
        cancels=for_cancels(process.store.cancels),
        bench=Bench(giving_back(process.boxes.store, process.emit)),
        live=Tail(process.store.events, process.emit),
        patience=Patience(asyncio.get_running_loop()),
        limits=Limits(config.limits, process.emit, counts),
        tracing=tracing_of(process),
    )


class _View:
    """What the API shows of the rest: asked of the process above where there is one."""

    def __init__(self, process: Process, keyring: Keyring) -> None:
        self._process, self._keyring = process, keyring
        self._own = Exposition(process.metrics)

    def health(self) -> Sequence[PartHealth]:
        """The store, the keys of issuers, and the events: the worse one of their directions."""
        process = self._process
        store = process.store_health
        events = max(process.publishing, process.hearing, key=lambda side: _WORSE[side.state])
        return [
            _part("store", store.state, store.detail),
            _part("events", events.state, events.detail),
            *self._keyring.health(),
        ]

    async def metrics(self, *, as_openmetrics: bool = False, zipped: bool = False) -> bytes:
        """The exposition of the whole tree, or of this process when it stands alone."""
        if (parent := self._process.parent) is not None:
            try:
                text: bytes = (await call(parent, "exposition"))["body"]
            except (Unreachable, Refused):
                pass
            else:
                return dressed(text, as_openmetrics, zipped)
        return await self._own.body(as_openmetrics=as_openmetrics, zipped=zipped)

    async def actors(self) -> Sequence[ActorRow]:
        """A row per actor of every process."""
        process = self._process
        rows: list[dict[str, Any]] = []
        if process.parent is not None:
            try:
                rows = (await call(process.parent, "forest"))["actors"]
            except (Unreachable, Refused):
                rows = []
        elif process.forest is not None:
            rows = await process.forest.actors()
        if not rows and process.supervisor is not None:
            rows = [dataclasses.asdict(state) for state in process.supervisor.tree()]
        return [_row(row) for row in rows]


_WORSE = {"ok": 0, "degraded": 1, "failed": 2}
_ROW = tuple(field.name for field in msgspec.structs.fields(ActorRow))


def _row(row: dict[str, Any]) -> ActorRow:
    return ActorRow(**{name: row[name] for name in _ROW if name in row})


def _part(name: str, state: str, detail: str) -> PartHealth:
    if state == "ok":
        return PartHealth(name, "ok")
    return PartHealth(name, "degraded" if state == "degraded" else "failed", detail)
