"""The `metrics` actor: serves the metrics of the whole tree on a port of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.kernel.call import call
from taskhub.obs.exposition import CLASSIC, OPENMETRICS, Exposition
from taskhub.obs.meters import REQUEST_SECONDS, Family, Spread, histogram, only
from taskhub.obs.telemetry import Complained, Emit, Said

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp import web

    from taskhub.kernel.actor import Context
    from taskhub.obs.exposition import Gather
    from taskhub.obs.metrics import MetricsListener

VARY = "Accept, Accept-Encoding"
SOCKET_PATIENCE = 1.5
"""Seconds that one process has to answer: less than the whole scrape waits for all of them."""
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two tries to take the port


def scrapes() -> Family[Spread]:
    """How long the answers to scrapes take."""
    return histogram("taskhub_scrape_duration_seconds", "Time to gather.", REQUEST_SECONDS)


def from_sockets(directory: Path, own: str) -> Gather:
    """Asks every process whose supervision socket stands in `directory`, but not `own`.

    For processes that no common supervisor has started; who does not answer is left out.
    """

    def others() -> list[Path]:
        return [path for path in sorted(directory.glob("*.sock")) if path.stem != own]

    async def gather() -> Sequence[bytes]:
        asked = (call(path, "metrics", within=SOCKET_PATIENCE) for path in others())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [answer["body"] for answer in answers if isinstance(answer, dict)]

    return gather


class Metrics:
    """Answers `GET /metrics` and `GET /health`; a port that is taken is tried again, quietly."""

    def __init__(
        self,
        host: str,
        port: int,
        own: MetricsListener,
        gather: Gather,
        emit: Emit,
        *,
        admits: Callable[[web.Request], bool],
    ) -> None:
        """Listen on `host` and `port` (0: any free one; the log says which).

        `admits` says whether whoever asks may read the metrics.
        """
        self._admits = admits
        self._host, self._port, self._emit = host, port, emit
        self._own, self._exposition = own, Exposition(own, gather)

    async def run(self, ctx: Context) -> None:
        """Serve until stopped. A busy port is no reason to hold up or end the others."""
        from aiohttp import web  # here, or every worker would load an HTTP server

        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            ctx.ready()
            if await self._listen(runner, ctx):
                await ctx.stopping.wait()
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        from aiohttp import web

        app = web.Application()
        app.router.add_get("/metrics", self._measured())
        app.router.add_get("/health", health)
        return app

    def _measured(self) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler, its time measured like everything else."""
        from prometheus_async import aio  # it brings aiohttp with it

        seconds = scrapes()
        self._own.add(seconds)
        return aio.time(only(seconds))(self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        if not self._admits(request):
            return web.Response(status=403, text="Metrics are not for this address.")
        modern = "application/openmetrics-text" in request.headers.get("Accept", "")
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        body = await self._body(request.query.get("unit"), modern, zipped)
        if body is None:
            return web.Response(status=404, text="There is no unit of this name.")
        headers = {"Content-Type": OPENMETRICS if modern else CLASSIC, "Vary": VARY}
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def _body(self, unit: str | None, modern: bool, zipped: bool) -> bytes | None:  # noqa: FBT001 - as the headers say
        """Of all units, or of the one that `?unit=` names."""
        if unit is None:
            return await self._exposition.body(as_openmetrics=modern, zipped=zipped)
        return await self._exposition.body_of(unit, as_openmetrics=modern, zipped=zipped)

    async def _listen(self, runner: web.AppRunner, ctx: Context) -> bool:
        """Take the port; False when a stop came first."""
        pause = PAUSE
        while True:
            try:
                await self._bind(runner)
            except OSError as error:
                self._emit(Complained(text=f"metrics: port {self._port}: {error.strerror}"))
                if await ctx.pause(pause):
                    return False
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                return True

    async def _bind(self, runner: web.AppRunner) -> None:
        from aiohttp import web

        site = web.TCPSite(runner, self._host, self._port)
        await site.start()
        host, port = runner.addresses[0][:2]
        self._emit(Said(text=f"metrics on http://{host}:{port}/metrics"))


async def health(_request: web.Request) -> web.Response:
    """Alive; says nothing of the tasks."""
    from aiohttp import web

    return web.Response(text="ok")
