"""Progress on its way out: of all that one handler says in a second, the latest is handed on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress

from taskhub.ports import Progress
from taskhub.work.attempt import Attempt

Deliver = Callable[[Sequence[Progress]], None]


class Reports:
    """Keeps the latest report of each attempt; hands all on at most once in `every` seconds.

    The first report after a quiet time goes out at once, the last one of an attempt when it ends.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, every: float, deliver: Deliver) -> None:
        self._loop, self._every, self._deliver = loop, every, deliver
        self._latest: dict[Attempt, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._delivered = -math.inf

    def keep(self, attempt: Attempt, report: bytes) -> None:
        """From any thread; a dict's single steps need no lock."""
        is_news = attempt not in self._latest
        self._latest[attempt] = report
        if is_news:
            with suppress(RuntimeError):  # the loop has closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._arm)

    def flush(self, attempt: Attempt) -> None:
        """Hand on what an attempt said last, before its end is told."""
        if self._latest and (report := self._latest.pop(attempt, None)) is not None:
            self._deliver([_progress(attempt, report)])

    def close(self) -> None:
        """Hand nothing on any more."""
        self._latest.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_at(self._delivered + self._every, self._send)

    def _send(self) -> None:
        self._timer, self._delivered = None, self._loop.time()
        attempts = list(self._latest)
        reports = [(attempt, self._latest.pop(attempt, None)) for attempt in attempts]
        news = [_progress(attempt, report) for attempt, report in reports if report is not None]
        if news:
            self._deliver(news)


def _progress(attempt: Attempt, report: bytes) -> Progress:
    return Progress(id=attempt.id, fence=attempt.lease.fence, data=report)
