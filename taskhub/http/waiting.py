"""Requests that wait for what befalls a task: one query for all, at each bell and each second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from taskhub.errors import Busy, Trouble
from taskhub.http.reading import in_time
from taskhub.model import TaskId, TaskItem

T = TypeVar("T")

Look = Callable[[Sequence[TaskId]], Awaitable[Mapping[TaskId, T]]]
"""Of these tasks those to which it has happened, and what there is to tell."""

POLL = 1.0
"""Seconds between two looks when no bell rings: bells may be lost."""
AT_ONCE = 500
"""Ids in one query."""
LIMIT = 1_000


async def rung_or_time(bell: asyncio.Event, seconds: float) -> None:
    """Return when it has rung, and let it ring anew; or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
    bell.clear()


class Waiters(Generic[T]):
    """Who waits for what in this process. `limit` bounds how many may; more are Busy (503)."""

    def __init__(self, kind: str, look: Look[T], limit: int, poll: float) -> None:
        """`kind` is the bell that hurries, `look` what is asked at each."""
        self._kind, self._look_for = kind, look
        self._limit, self._poll = limit, poll
        self._awaited: dict[TaskId, set[asyncio.Future[T | None]]] = {}
        self._count = 0
        self._bell = asyncio.Event()
        self._closed = False

    def rang(self, kinds: frozenset[str]) -> None:
        """Hear the bell: look when it says that there is something to see."""
        if self._kind in kinds:
            self._bell.set()

    @contextmanager
    def awaiting(self, id_: TaskId) -> Iterator[asyncio.Future[T | None]]:
        """A future of what is told once it has happened (None: no more waiting); raises Busy.

        Enter before the task is read for the first time: nothing is missed in between.
        """
        if self._count >= self._limit:
            raise Busy
        future: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
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
            happened = await in_time(self._look_for(ids))
        except Trouble:
            return  # the next look may go well; who waits has a deadline
        for id_, told in happened.items():
            for future in self._awaited.get(id_, ()):
                _tell(future, told)


def _tell(future: asyncio.Future[T | None], told: T | None) -> None:
    if not future.done():
        future.set_result(told)


Get = Callable[[Sequence[TaskId]], Awaitable[list[TaskItem]]]
Read = Callable[[], Awaitable[Sequence[TaskId]]]


def for_ends(get: Get, limit: int = LIMIT, poll: float = POLL) -> Waiters[TaskItem]:
    """Those who wait for the end of a task: told is the task as it is then."""

    async def ended(ids: Sequence[TaskId]) -> dict[TaskId, TaskItem]:
        return {item.id: item for item in await get(ids) if item.status.is_final}

    return Waiters("ended", ended, limit, poll)


def for_cancels(read: Read, limit: int = LIMIT, poll: float = POLL) -> Waiters[bool]:
    """Those who run a task and wait whether somebody wishes its cancel: told is True."""

    async def wished(_: Sequence[TaskId]) -> dict[TaskId, bool]:
        return dict.fromkeys(await read(), True)

    return Waiters("cancel", wished, limit, poll)
