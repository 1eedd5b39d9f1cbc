"""How much of a bare aiohttp endpoint's speed `POST /tasks` keeps; rounds are interleaved.

Usage: python -m benchmarks.http [ROUNDS] [SECONDS]
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import msgspec
from aiohttp import web

from benchmarks import least
from benchmarks.http_load import Figures
from taskhub.config.sections import Config, JwtSection, Secret
from taskhub.http.auth import Verifier
from taskhub.http.catalog import Catalog
from taskhub.http.context import ApiContext, PartHealth, Verdict
from taskhub.http.external.bench import Bench
from taskhub.http.limits import Limits
from taskhub.http.live.tail import Tail
from taskhub.http.patience import Patience
from taskhub.http.server import serving
from taskhub.http.waiting import for_cancels, for_ends
from taskhub.kernel.actor import Context
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Put
from taskhub.model import TypeInfo
from taskhub.obs.telemetry import Telemetry
from taskhub.ports import Create, Created, EventPage

KEY = "benchmark-" * 4
CONFIG = Config(
    jwt=JwtSection(authority="bench", audience="taskhub", issuer_signing_key=Secret(KEY))
)
BODY = b'{"title":"Resize images"}'
ANSWER = b'{"title":"Resize images"}' + b" " * 440  # as long as a whole task
CONNECTIONS = (1, 16, 64)
RESULTS = Path(__file__).with_name("results")


async def bare(sock: socket.socket) -> None:
    """An endpoint that answers a constant: as fast as aiohttp is."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=ANSWER, status=201, content_type="application/json")

    app = web.Application()
    app.router.add_post("/tasks", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    await asyncio.Event().wait()


async def unstored(sock: socket.socket) -> None:
    """The whole API before a store that stores nothing."""
    box: Mailbox[Put] = Mailbox("store", 4_096)

    async def types() -> list[TypeInfo]:
        return [TypeInfo("simulate")]

    async def store() -> None:
        while puts := await box.take(512):
            for put in puts:
                put.answer([Created(w.item) for w in put.writes if isinstance(w, Create)])

    task = asyncio.create_task(store())
    async with serving(_context(box, None, Catalog(types)), sock):
        await task


async def durable(sock: socket.socket) -> None:
    """The whole API before SQLite, every commit on disk; no events, no log."""
    from taskhub.actors.store import StoreActor, StoreHealth
    from taskhub.store.sqlite import SqliteStore

    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "bench.db")
        await store.migrate()
        box: Mailbox[Put] = Mailbox("store", 4_096)
        actor = StoreActor(box, store, None, StoreHealth(), quiet)
        ctx = Context("store")
        task = asyncio.create_task(actor.run(ctx))
        await ctx.is_ready.wait()
        catalog = Catalog(store.types, [TypeInfo("simulate")])
        async with serving(_context(box, store, catalog), sock):
            await task


SERVERS: dict[str, Callable[[socket.socket], Awaitable[None]]] = {
    "bare": bare,
    "least": least.unstored,
    "least, stored": least.stored,
    "unstored": unstored,
    "durable": durable,
}


class NoTree:
    """No actors: nothing to restart."""

    async def look(self, name: str) -> Verdict:
        """There is none of that name."""
        del name
        return "unknown"

    async def ask(self, name: str) -> Verdict:
        """There is none of that name."""
        return await self.look(name)


def quiet(event: Telemetry) -> None:
    """Tell nobody."""
    del event


def _context(box: Mailbox[Put], store: Any, types: Catalog) -> ApiContext:
    async def no_metrics(**_: bool) -> bytes:
        return b""

    async def no_actors() -> list[Any]:
        return []

    async def no_events(*_: object) -> EventPage:
        raise RuntimeError("nobody follows events here")

    async def nothing(_: object) -> Any:
        return []

    return ApiContext(
        store_box=box,
        store=store,
        verifier=Verifier(CONFIG.jwt),
        emit=quiet,
        settings=lambda: CONFIG,
        types=types,
        health=lambda: [PartHealth("store", "ok")],
        metrics=no_metrics,
        actors=no_actors,
        restarts=NoTree(),
        live=Tail(no_events, quiet),
        waiters=for_ends(nothing),
        cancels=for_cancels(no_actors),
        bench=Bench(nothing),
        patience=Patience(asyncio.get_running_loop()),
        limits=Limits(CONFIG.limits, quiet),
    )


def request() -> bytes:
    """One `POST /tasks` with a token."""
    claims = {"iss": "bench", "aud": "taskhub", "sub": "bench", "scope": "tasks.write"}
    token = jwt.encode({**claims, "exp": int(time.time()) + 36_000}, KEY, "HS256")
    head = (
        "POST /tasks HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


def measure(name: str, connections: int, seconds: float) -> tuple[Figures, float]:
    """One run of one server: the figures, and its CPU in microseconds an answer."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    fd, port = sock.fileno(), sock.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.http", "--serve", name, str(fd)]
    RESULTS.mkdir(exist_ok=True)  # beside the checkout: /tmp may be a disk in memory
    with (
        tempfile.TemporaryDirectory(prefix="http-", dir=RESULTS) as folder,
        subprocess.Popen(command, pass_fds=[fd], env={**os.environ, "TMPDIR": folder}) as server,
    ):
        _ask_once(port)
        spent = -_cpu(server.pid)
        load = [sys.executable, "-m", "benchmarks.http_load", str(port), str(connections)]
        answer = subprocess.run(
            [*load, str(seconds)], input=request(), capture_output=True, check=True
        )
        spent += _cpu(server.pid)
        server.terminate()
    sock.close()
    figures = msgspec.json.decode(answer.stdout, type=Figures)
    return figures, spent / (figures.per_second * (seconds + 0.5)) * 1e6


def _ask_once(port: int) -> None:
    """Wait until the server answers."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request())
        client.recv(65_536)


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print a table: medians over the rounds, and the ratio to the bare endpoint."""
    if sys.argv[1:2] == ["--serve"]:
        _serve(sys.argv[2], int(sys.argv[3]))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    print("server         connections  requests/s  of bare  p50 ms  p99 ms  CPU us  failed")
    for connections in CONNECTIONS:
        seen: dict[str, list[tuple[Figures, float]]] = {name: [] for name in SERVERS}
        for _ in range(rounds):
            for name in SERVERS:
                seen[name].append(measure(name, connections, seconds))
        _print(connections, seen)


def _print(connections: int, seen: dict[str, list[tuple[Figures, float]]]) -> None:
    base = 0.0
    for name, runs in seen.items():
        rate, p50, p99, cpu = (
            statistics.median(values)
            for values in zip(*((f.per_second, f.p50, f.p99, cpu) for f, cpu in runs), strict=True)
        )
        base = base or rate
        failed = sum(figures.failed for figures, _ in runs)
        print(
            f"{name:<15}{connections:>11}{rate:>12,.0f}{rate / base:>9.2f}"
            f"{p50:>8.2f}{p99:>8.2f}{cpu:>8.0f}{failed:>8}"
        )


def _serve(name: str, fd: int) -> None:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    try:
        import uvloop
    except ImportError:
        asyncio.run(SERVERS[name](sock))  # type: ignore[arg-type]
    else:
        uvloop.run(SERVERS[name](sock))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
