"""The `pusher` actor: hands the metrics of the whole tree to a Pushgateway, where one is named."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

from taskhub.obs.exposition import CLASSIC
from taskhub.obs.meters import Family, Number, counter
from taskhub.obs.telemetry import Emit, StateChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientSession

    from taskhub.config.sections import MetricsSection
    from taskhub.kernel.actor import Context
    from taskhub.obs.exposition import Exposition
    from taskhub.obs.metrics import MetricsListener

PART = "pushgateway"
PATIENCE = 3.0
"""Seconds that it has for one answer; a stop waits for the last one."""
JOB = "taskhub"


def group(section: MetricsSection) -> str:
    """Where our metrics lie there, and nobody else's; empty: they are not wanted."""
    if not section.push_url:
        return ""
    instance = section.push_instance or f"{socket.gethostname()}:{section.port}"
    base = section.push_url.removesuffix("/")
    return f"{base}/metrics/job/{JOB}/instance/{quote(instance, safe='')}"


def pushes() -> Family[Number]:
    """How many pushes have ended how."""
    family = counter("taskhub_metrics_pushes", "Pushes to the Pushgateway.").by("result")
    for result in ("ok", "failed"):
        family[result].inc(0)
    return family


class Pusher:
    """Replaces its group there again and again, and deletes it when it stops."""

    def __init__(
        self,
        own: MetricsListener,
        exposition: Exposition,
        section: Callable[[], MetricsSection],
        emit: Emit,
    ) -> None:
        """Push `exposition`; `section` is asked anew each time. `own` counts the pushes."""
        self._exposition, self._section, self._emit = exposition, section, emit
        self._state, self._held = "", ""
        self._pushes = pushes()
        own.add(self._pushes)

    async def run(self, ctx: Context) -> None:
        """Push until stopped; a gateway that is away holds up nobody."""
        ctx.ready()
        try:
            while True:
                await self._turn()
                if await ctx.pause(self._section().push_every):
                    return
        finally:
            await self._leave()

    async def _turn(self) -> None:
        """Push to where the configuration says now."""
        wanted = group(self._section())
        if wanted != self._held:
            await self._leave()
        if wanted:
            self._held = wanted
            body = await self._exposition.body()
            self._tell(await _ask("PUT", wanted, body))

    async def _leave(self) -> None:
        """A group that nobody renews would show its last values for ever."""
        if held := self._held:
            self._held = ""
            self._tell(await _ask("DELETE", held))

    def _tell(self, wrong: str) -> None:
        self._pushes["failed" if wrong else "ok"].inc()
        state = "degraded" if wrong else "ok"
        if state != self._state:
            self._state = state
            self._emit(StateChanged(part=PART, state=state, detail=wrong))


async def _ask(method: str, url: str, body: bytes = b"") -> str:
    """Do it; what went wrong, empty: nothing."""
    import aiohttp  # here, or every root would load it

    patience = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with aiohttp.ClientSession(timeout=patience) as session:
            return await _answered(session, method, url, body)
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"not reached: {getattr(error, 'strerror', None) or type(error).__name__}"


async def _answered(session: ClientSession, method: str, url: str, body: bytes) -> str:
    headers = {"Content-Type": CLASSIC}
    async with session.request(method, url, data=body, headers=headers) as answer:
        await answer.read()
        return "" if answer.ok else f"answered {answer.status}"
