"""A reading connection with a thread of its own, which does one piece of work after the other."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from taskhub.errors import Busy, StoreDown
from taskhub.store.steps.hand import Hand

T = TypeVar("T")

WAITING = 64
"""Pieces of work in the line, at most."""


class Line(ABC):
    """What all such lines have in common; the connection is the database's affair."""

    def __init__(self, name: str) -> None:
        """Make ready; `name` is the thread's."""
        self.name, self.waiting = name, 0
        self._hand: Hand | None = None
        self._may_read = False

    def open(self) -> None:
        """Allow reading."""
        self._may_read = True

    async def close(self) -> None:
        """Give connection and thread back, stopping what still runs; may be called twice."""
        self._may_read = False
        hand, self._hand = self._hand, None
        if hand is not None:
            await self._stop()
            hand.call(self._drop)
            await hand.close()

    @abstractmethod
    async def _stop(self) -> None:
        """Have the work that is being done end soon."""

    @abstractmethod
    def _drop(self) -> None:
        """In the thread: give the connection back."""

    def _begin(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Put work into the line; raises Trouble, at once when too many wait."""
        self._refuse_when_closed()
        if self.waiting >= WAITING:
            raise Busy
        if self._hand is None:
            self._hand = Hand(self.name)
        self.waiting += 1
        done: asyncio.Future[T] = self._hand.call(work, *args)
        done.add_done_callback(self._leave)
        return done

    def _leave(self, done: asyncio.Future[T]) -> None:
        """Work counts until it is done, also when whoever asked for it has gone."""
        self.waiting -= 1
        if not done.cancelled():
            done.exception()

    def _refuse_when_closed(self) -> None:
        if not self._may_read:
            raise StoreDown("The store is closed.")
