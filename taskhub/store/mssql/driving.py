"""A thread that speaks to a driver for another one, which leaves it behind when it never returns.

No limit of a driver's own holds for everything that it does: some wait for ever when a server
freezes in the midst of an answer. What was left behind ends by itself when its call returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


class Frozen(Exception):
    """A call takes longer than any driver may."""


class Watch:
    """The call of the driver that is being made, if one is."""

    def __init__(self) -> None:
        """Nothing is being done."""
        self.began, self.until, self.cut = inf, inf, inf
        """Since when, until when it may take, and when it is to be stopped."""

    @contextmanager
    def over(self, seconds: float, cut: float = inf) -> Iterator[None]:
        """Watch what is done in this block."""
        now = monotonic()
        self.began, self.until, self.cut = now, now + seconds, now + cut
        try:
            yield
        finally:
            self.began, self.until, self.cut = inf, inf, inf


class Helper:
    """Does one call after the other."""

    def __init__(self, name: str) -> None:
        """Start the thread; it is a daemon, since it may never come back."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T], look: Callable[[], float]) -> T:
        """What the work answers or raises; `look` says when to look again, or raises Frozen."""
        call = _Call(work)
        self._calls.put(call)
        while not call.done.acquire(timeout=look()):
            pass
        if call.error is not None:
            try:
                raise call.error
            finally:
                call.error = None  # it holds this frame, which holds it
        answer: T = call.answer
        return answer

    def leave(self, last: Callable[[], object]) -> None:
        """Have it do this when it comes back, and end; nobody waits for it."""
        self._calls.put(_Call(last))
        self._calls.put(None)

    def end(self) -> None:
        """End it; it has nothing to do any more."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.do()
            del call  # keep no answer alive while waiting for the next call


class _Call:
    __slots__ = ("answer", "done", "error", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.done = work, threading.Lock()
        self.answer: Any = None
        self.error: BaseException | None = None
        self.done.acquire()

    def do(self) -> None:
        try:
            self.answer = self.work()
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            self.error = error
        finally:
            self.done.release()
