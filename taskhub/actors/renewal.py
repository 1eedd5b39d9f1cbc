"""Keeps leases alive from a thread of its own, since a handler may block the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from taskhub.errors import TaskHubError
from taskhub.kernel.clock import boottime
from taskhub.ports import Renew, Renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskhub.actors.holdings import Holdings
    from taskhub.config.sections import Config
    from taskhub.model import TaskId


class Renewal:
    """A thread that renews every third of a lease, and gives up what it could not renew in time."""

    def __init__(
        self,
        renew: Callable[[Renew], Renewed],
        holdings: Holdings,
        answer: Callable[[Sequence[TaskId], Sequence[TaskId]], None],
        settings: Callable[[], Config],
    ) -> None:
        """`answer(lost, cancel)` is called on the loop."""
        self._renew, self._holdings = renew, holdings
        self._answer, self._settings = answer, settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._live, name="renewal", daemon=True)

    def start(self) -> None:
        """Begin; call it on the loop that `answer` belongs to."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End soon; does not wait longer than one statement may take."""
        self._leaving.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _live(self) -> None:
        while not self._leaving.wait(self._settings().work.lease / 3):
            lease = self._settings().work.lease
            renewed = self._renew_all(lease)
            late = self._overdue(lease)
            if renewed.lost or renewed.cancel or late:
                self._tell((*renewed.lost, *late), renewed.cancel)

    def _renew_all(self, lease: float) -> Renewed:
        attempts = list(self._holdings.attempts.values())
        if not attempts:
            return Renewed()
        held = [(attempt.lease.item.id, attempt.lease.fence) for attempt in attempts]
        until = boottime() + lease
        try:
            renewed = self._renew(Renew(held=held, lease=lease))
        except TaskHubError:
            return Renewed()  # the next turn tries again; `_overdue` bounds how often
        lost = set(renewed.lost)
        for attempt in attempts:
            if attempt.lease.item.id not in lost:
                attempt.lease_until = until
        return renewed

    def _overdue(self, lease: float) -> list[TaskId]:
        """Leases that may end before the next turn: their handlers must stop now."""
        soon = boottime() + lease / 5
        attempts = list(self._holdings.attempts.values())
        return [a.lease.item.id for a in attempts if a.lease_until < soon]

    def _tell(self, lost: Sequence[TaskId], cancel: Sequence[TaskId]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(self._answer, lost, cancel)
