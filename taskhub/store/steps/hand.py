"""A thread that does one call after the other for an event loop, whatever the calls may do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Hand:
    """Takes calls in order; each answer goes back to its loop in one hop."""

    def __init__(self, name: str) -> None:
        """Start the thread; it is a daemon only so that a crash never hangs the exit."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Have `function(*args)` done; who waits may be cancelled, the call is not."""
        call = _Call(function, args)
        self._calls.put(call)
        return call.answer

    async def close(self) -> None:
        """End when all calls are done, and only then return."""
        last = self.call(bool)
        self._calls.put(None)
        await last
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.do()
            del call  # keep no answer alive while waiting for the next call


class _Call:
    __slots__ = ("answer", "args", "function", "loop")

    def __init__(self, function: Callable[..., Any], args: tuple[object, ...]) -> None:
        self.function, self.args = function, args
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self.loop.create_future()

    def do(self) -> None:
        try:
            answer = self.function(*self.args)
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            self._tell(self._fail, error)
        else:
            self._tell(self._settle, answer)

    def _tell(self, how: Callable[[Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(how, what)

    def _settle(self, answer: object) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def _fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
