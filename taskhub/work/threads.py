"""Threads for `def` handlers: our own, so that one that never ends cannot hold up the exit."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

Call = Callable[[], Any]


class _Item(NamedTuple):
    call: Call
    context: contextvars.Context
    waiter: asyncio.Future[Any]


class Threads:
    """At most `size` daemon threads, started when they are first needed.

    Used from one event loop. `close` does not wait: a thread that is busy ends after its call,
    or with the process.
    """

    def __init__(self, size: int, name: str = "handler") -> None:
        self._size, self._name = size, name
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._calls = 0  # given to us and not ended yet: they need as many threads
        self._numbers = 0

    def call(self, call: Call) -> asyncio.Future[Any]:
        """Run `call` in a thread, in a copy of the caller's context.

        The future gets what it returns; `call` must not raise. Cancelling the future forgets it.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._items.put(_Item(call, contextvars.copy_context(), waiter))
        with self._lock:
            self._calls += 1
            if len(self._threads) < min(self._calls, self._size):
                self._start()
        return waiter

    def resize(self, size: int) -> None:
        """Allow more or fewer; those too many end as soon as they are idle."""
        with self._lock:
            self._size = size
            for _ in range(len(self._threads) - size):
                self._items.put(None)
            while len(self._threads) < min(self._calls, size):
                self._start()

    def close(self) -> None:
        """Let every thread end after what is in hand and queued; may be called twice."""
        self.resize(0)

    def _start(self) -> None:
        self._numbers += 1
        name = f"{self._name}-{self._numbers}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            item = self._items.get()
            if item is not None:
                self._run(item)
            elif self._is_surplus():
                return
            del item  # an idle thread keeps nothing of its last call alive

    def _run(self, item: _Item) -> None:
        result = item.context.run(item.call)
        with self._lock:
            self._calls -= 1
        with suppress(RuntimeError):  # the loop has closed meanwhile: nobody waits any more
            item.waiter.get_loop().call_soon_threadsafe(_deliver, item.waiter, result)

    def _is_surplus(self) -> bool:
        with self._lock:
            if len(self._threads) <= self._size:
                return False
            self._threads.discard(threading.current_thread())
            return True


def _deliver(waiter: asyncio.Future[Any], result: Any) -> None:
    if not waiter.done():
        waiter.set_result(result)
