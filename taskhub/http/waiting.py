"""Requests that wait for the end of a task: one query for all, at each bell and each second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from taskhub.errors import Busy, Trouble
from taskhub.http.reading import in_time
from taskhub.model import TaskId, TaskItem

Read = Callable[[Sequence[TaskId]], Awaitable[list[TaskItem]]]

POLL = 1.0
"""Seconds between two looks when no bell rings: bells may be lost."""
AT_ONCE = 500
"""Ids in one query."""


async def rung_or_time(bell: asyncio.Event, seconds: float) -> None:
    """Return when it has rung, and let it ring anew; or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
    bell.clear()


class Waiters:
    """Who waits for what in this process. `limit` bounds how many may; more are Busy (503)."""

    def __init__(self, read: Read, limit: int = 1_000, poll: float = POLL) -> None:
        self._read, self._limit, self._poll = read, limit, poll
        self._awaited: dict[TaskId, set[asyncio.Future[TaskItem | None]]] = {}
        self._count = 0
        self._bell = asyncio.Event()
        self._closed = False

    def rang(self, kinds: frozenset[str]) -> None:
        """Hear the bell: look when it says that a task has ended."""
        if "ended" in kinds:
            self._bell.set()

    @contextmanager
    def awaiting(self, id_: TaskId) -> Iterator[asyncio.Future[TaskItem | None]]:
        """A future of the task once it has ended (None: no more waiting); raises Busy.

        Enter before the task is read for the first time: no end is missed in between.
        """
        if self._count >= self._limit:
            raise Busy
        future: asyncio.Future[TaskItem | None] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_result(None)
        waiting = self._awaited.setdefault(id_, set())
        waiting.add(future)
        self._count += 1
        try:
            yield future
        finally:
            self._count -= 1
            waiting.discard(future)
            if not waiting and self._awaited.get(id_) is waiting:
                del self._awaited[id_]

    async def run(self) -> None:
        """Look whenever it rings, and each `poll` seconds, as long as anybody waits."""
        while not self._closed:
            await rung_or_time(self._bell, self._poll)
            ids = list(self._awaited)
            for start in range(0, len(ids), AT_ONCE):
                await self._look(ids[start : start + AT_ONCE])

    def open(self) -> None:
        """Let requests wait again, after a `close`."""
        self._closed = False

    def close(self) -> None:
        """Send everybody home: nobody waits through a stop."""
        self._closed = True
        self._bell.set()
        for waiting in self._awaited.values():
            for future in waiting:
                _tell(future, None)

    async def _look(self, ids: Sequence[TaskId]) -> None:
        try:
            items = await in_time(self._read(ids))
        except Trouble:
            return  # the next look may go well; who waits has a deadline
        for item in items:
            if item.status.is_final:
                for future in self._awaited.get(item.id, ()):
                    _tell(future, item)


def _tell(future: asyncio.Future[TaskItem | None], item: TaskItem | None) -> None:
    if not future.done():
        future.set_result(item)
