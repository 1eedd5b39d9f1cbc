"""One who listens: where it is, what comes next for it, and when it is over."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from taskhub.errors import TaskHubError, Trouble
from taskhub.http.live import frames
from taskhub.http.live.frames import ENDS, Frame, frame
from taskhub.http.live.tail import PAGE, Tail, is_lost
from taskhub.http.live.wanted import EVERYTHING, Wanted
from taskhub.ports import EventPage, EventQuery

BEAT = 15.0
"""Seconds of silence after which a listener hears that we are there."""
PIECE = 32_768
"""Bytes told at once, if it is more than one event: what waits for a slow reader stays small."""
AGAIN = 1.0
"""Seconds until the table is asked again when the store is in trouble."""
RETRY = (1_000, 3_000)
"""Milliseconds after which clients come again, each after its own: they never come all at once."""

Admit = Callable[[], Awaitable[float]]
"""Looks at the client's token again: till when it is good (seconds since 1970), or TaskHubError."""


class Start(NamedTuple):
    """Where a listener begins."""

    position: int
    """It has seen everything up to this Seq, or does not want it."""
    hello: bytes
    """What it is told first."""
    until: float
    """When its token must be looked at again."""


class Listener:
    """The source of one stream. With `task_ended` not None it is of one task and ends with it:
    the history first, then live; `task_ended` says whether the task has ended by now.
    """

    def __init__(
        self, tail: Tail, wanted: Wanted, start: Start, admit: Admit, *, task_ended: bool | None
    ) -> None:
        self._tail, self._wanted, self._admit = tail, wanted, admit
        self.position, self._hello, self._until = start
        self._is_of_one_task = self._must_read = task_ended is not None
        self._task_ended = bool(task_ended)
        self._epoch = tail.epoch
        self._has_gone = self._is_misled = False
        self.due = 0.0
        """When (by the clock of the loop) something must be done though nothing has happened."""
        self.news = asyncio.Event()

    def stop(self) -> None:
        """The client has gone."""
        self._has_gone = True
        self.news.set()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Everything that the client is told, to the end; joins the tail while it runs."""
        self._tail.join(self)
        self._wait_from_now()
        try:
            yield self._hello + again()
            while not self._has_gone and not self._tail.is_closed and await self._is_admitted():
                if piece := await self._next():
                    yield piece
                    self._wait_from_now()
                if self._is_at_the_end():
                    yield frames.end(self.position)
                    return
            yield again()
        finally:
            self._tail.leave(self)

    async def _is_admitted(self) -> bool:
        """Whether the token is still good; who has a new one comes again with it."""
        if time.time() < self._until:
            return True
        try:
            self._until = await self._admit()
        except TaskHubError:
            return False
        return True

    def _wait_from_now(self) -> None:
        """A sign of life is due after a while of silence; the token is looked at in time."""
        left = max(0.0, self._until - time.time())
        self.due = asyncio.get_running_loop().time() + min(BEAT, left)

    def _is_at_the_end(self) -> bool:
        is_up_to_date = not self._must_read and self.position >= self._tail.ring.newest
        return self._is_of_one_task and self._task_ended and is_up_to_date

    async def _next(self) -> bytes:
        """What is to be told now, once there is something; may be empty when nothing is wanted."""
        ring = self._tail.ring
        if self._epoch != self._tail.epoch:
            self._epoch, self._must_read, self._is_misled = self._tail.epoch, True, True
        if self._must_read or self.position < ring.start:
            return await self._from_table()
        if self.position < ring.newest:
            return self._from_ring()
        await self.news.wait()
        self.news.clear()
        return self._sign_of_life()

    def _from_ring(self) -> bytes:
        ring = self._tail.ring
        if self._wanted is EVERYTHING and not self._is_of_one_task:
            piece = ring.piece(self.position, PIECE)
            self.position = piece.position
            self._tail.delivered(piece.events)
            return piece.text
        return self._told(*ring.after(self.position))

    async def _from_table(self) -> bytes:
        query = EventQuery(after=self.position, limit=PAGE, task=self._wanted.task)
        try:
            page = await self._tail.page(query)
        except Trouble:
            return await self._later()
        if self._is_misled or is_lost(self.position, page):
            return self._reset(page)
        has_all = len(page.items) < PAGE
        reached = page.newest if has_all else page.items[-1].seq
        text = self._told([frame(event) for event in page.items], reached)
        self._must_read = self._must_read and not (has_all and self.position >= reached)
        return text

    async def _later(self) -> bytes:
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN):
                await self.news.wait()
        return self._sign_of_life()

    def _reset(self, page: EventPage) -> bytes:
        """Say that something is missing; a history then comes anew, all else goes on live."""
        self._is_misled = False
        self.position = page.newest
        if self._is_of_one_task:
            self.position = max(0, page.oldest - 1)
        return frames.reset(page.oldest, page.newest, self.position)

    def _told(self, found: Sequence[Frame], reached: int) -> bytes:
        """The text of those that are wanted, as many as fit; the position moves along."""
        texts: list[bytes] = []
        size = 0
        for each in found:
            if self._wanted(each.event):
                size += len(each.text)
                if texts and size > PIECE:
                    break
                texts.append(each.text)
                self._task_ended = each.event.type in ENDS
            self.position = each.event.seq
        else:
            self.position = max(self.position, reached)
        self._tail.delivered(len(texts))
        return b"".join(texts)

    def _sign_of_life(self) -> bytes:
        is_due = asyncio.get_running_loop().time() >= self.due
        return frames.beat(self.position) if is_due else b""


def again() -> bytes:
    """When to come again after the stream has ended, whyever it does."""
    return frames.retry(random.randint(*RETRY))  # noqa: S311 - only spreads load
