"""What a scrape gets: the metrics of every process, merged off the loop and kept for 1 s."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from taskhub.errors import TaskHubError
from taskhub.obs.merge import classic, merge, of_unit
from taskhub.obs.metrics import render

if TYPE_CHECKING:
    from taskhub.obs.metrics import MetricsListener

Gather = Callable[[], Awaitable[Sequence[bytes]]]
"""Asks the other processes for their expositions; who does not answer is left out."""

KEEP = 1.0
"""Seconds that an exposition is given again: many scrapers cost as much as one."""
PATIENCE = 2.0
"""Seconds that the other processes have to answer, well below a scrape's usual timeout of 10."""

NOTHING = b"# EOF\n"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


async def nobody() -> Sequence[bytes]:
    """Gather from no other process."""
    return ()


class Exposition:
    """The metrics of this process and of those that `gather` reaches."""

    def __init__(
        self,
        own: MetricsListener,
        gather: Gather = nobody,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Render `own` and merge it with what `gather` gives."""
        self._own, self._gather, self._clock = own, gather, clock
        self._text, self._until = b"", float("-inf")
        self._dressed: dict[tuple[bool, bool], bytes] = {}
        self._making = asyncio.Lock()

    async def text(self) -> bytes:
        """The exposition in OpenMetrics 1.0."""
        async with self._making:
            if self._clock() >= self._until:
                self._text, self._dressed = await self._make(), {}
                self._until = self._clock() + KEEP
        return self._text

    async def body(self, *, as_openmetrics: bool = False, zipped: bool = False) -> bytes:
        """The exposition in the form that was asked for."""
        text, form = await self.text(), (as_openmetrics, zipped)
        kept = self._dressed  # of this text: a newer one has its own
        if form not in kept:
            kept[form] = await asyncio.to_thread(dressed, text, *form)
        return kept[form]

    async def body_of(
        self, unit: str, *, as_openmetrics: bool = False, zipped: bool = False
    ) -> bytes | None:
        """The same of one unit alone; None where there is none of that name."""
        text = await asyncio.to_thread(of_unit, await self.text(), unit)
        if text == NOTHING:
            return None
        return await asyncio.to_thread(dressed, text, as_openmetrics, zipped)

    async def _make(self) -> bytes:
        self._own.sample()
        others = await self._ask_others()
        return await asyncio.to_thread(self._merged, others)

    async def _ask_others(self) -> Sequence[bytes]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._gather()
        except (OSError, TaskHubError):  # TimeoutError too: half a picture is better than none
            return ()

    def _merged(self, others: Sequence[bytes]) -> bytes:
        return merge((render(self._own.registry), *others))


def dressed(text: bytes, as_openmetrics: bool, zipped: bool) -> bytes:  # noqa: FBT001 - to_thread
    """An exposition in the form that was asked for."""
    body = text if as_openmetrics else classic(text)
    return gzip.compress(body, compresslevel=1, mtime=0) if zipped else body
