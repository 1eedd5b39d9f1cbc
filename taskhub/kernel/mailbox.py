"""Bounded mailboxes and asks: how actors talk inside one process (never across a border)."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

M = TypeVar("M")
T = TypeVar("T")


class MailboxFull(Exception):
    """The reader is behind: the sender must slow down (HTTP 503 with Retry-After)."""


class MailboxClosed(Exception):
    """The reader has stopped or is draining: it takes no new work."""


class ActorFailed(Exception):
    """The actor died with this message in its hands: whether it was done is unknown."""


class Mailbox(Generic[M]):
    """Bounded queue with one reader; it belongs to a child spec and outlives every actor.

    `posted` and `refused` only ever grow: they are read by metrics.
    """

    __slots__ = ("_closed", "_held", "_items", "_waiter", "limit", "name", "posted", "refused")

    def __init__(self, name: str, limit: int = 1024) -> None:
        """Make an empty mailbox that holds at most `limit` messages."""
        self.name, self.limit = name, limit
        self.posted = self.refused = 0
        self._items: deque[M] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = self._held = False

    def __len__(self) -> int:
        """Messages that wait to be taken."""
        return len(self._items)

    def post(self, message: M) -> None:
        """Add a message and return at once; raises MailboxFull or MailboxClosed."""
        if self._closed:
            self.refused += 1
            raise MailboxClosed(self.name)
        if len(self._items) >= self.limit:
            self.refused += 1
            raise MailboxFull(self.name)
        self._items.append(message)
        self.posted += 1
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def take(self, limit: int = 1) -> list[M]:
        """Wait for 1..limit messages, in order; [] = end: closed and drained, or held."""
        while not self._items or self._held:
            if self._closed or self._held:
                return []
            await self._news()
        items = self._items
        if limit >= len(items):
            batch = list(items)
            items.clear()
            return batch
        return [items.popleft() for _ in range(limit)]

    def close(self) -> None:
        """Refuse new messages; the reader still gets what is queued, then []."""
        self._closed = True
        self._wake()

    def hold(self) -> None:
        """Let the reader end while messages are still accepted: its successor reads them."""
        self._held = True
        self._wake()

    def reopen(self) -> None:
        """Take away a hold or a close, for the next reader."""
        self._closed = self._held = False

    def abandon(self) -> None:
        """Fail what nobody will read any more."""
        while self._items:
            message = self._items.popleft()
            if isinstance(message, Ask):
                message.fail(MailboxClosed(self.name))

    async def _news(self) -> None:
        if self._waiter is not None:
            raise RuntimeError(f"mailbox {self.name} has two readers")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Ask(Generic[T]):
    """Base of messages that want an answer; posted without `sent_to`, the answer is dropped."""

    __slots__ = ("reply",)
    reply: asyncio.Future[T]

    def sent_to(self, box: Mailbox[Any]) -> asyncio.Future[T]:
        """Post this ask; await what is returned. A cancelled wait never cancels the work."""
        self.reply = asyncio.get_running_loop().create_future()
        box.post(self)
        return self.reply

    def answer(self, value: T) -> None:
        """Answer; nothing happens when the asker has gone."""
        reply = getattr(self, "reply", None)
        if reply is not None and not reply.done():
            reply.set_result(value)

    def fail(self, error: Exception) -> None:
        """Answer with an error; nothing happens when the asker has gone."""
        reply = getattr(self, "reply", None)
        if reply is not None and not reply.done():
            reply.set_exception(error)
            # Marked as read: an asker who hung up would else leave a traceback in the log each.
            reply.exception()


@contextmanager
def answering(asks: Sequence[Ask[Any]]) -> Iterator[None]:
    """Nobody waits for ever: what is unanswered when the block fails, fails with it."""
    try:
        yield
    except BaseException as error:
        for ask in asks:
            ask.fail(ActorFailed(repr(error)))
        raise
