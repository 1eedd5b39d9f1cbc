"""Time and turns: many event loops and threads, of which one moves at a time, on one clock.

Each simulated process has an event loop of its own, and its threads are real ones that move only
when it is their turn. So a process that is killed is one whose lanes never move again (no `finally`
runs), and a frozen one is one whose lanes do not move for a while: as with SIGKILL and SIGSTOP.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import count
from math import inf
from random import Random
from typing import Any, Protocol

RESTLESS = 5_000
"""Turns without any time between them: somebody is busy doing nothing."""


class Restless(AssertionError):
    """The world turns and turns, and its clock stands still."""


class Lane(Protocol):
    """What moves by itself: a loop, a thread, or the world's own plans."""

    def due(self) -> float:
        """When it wants to move next; infinite: never, unless something happens to it."""

    def move(self) -> None:
        """Do what is due now."""


class Life:
    """Whether a process lives, and until when it is frozen."""

    def __init__(self) -> None:
        self.dead = False
        self.frozen_until = self.blocked_until = 0.0
        """Frozen: all of it. Blocked: its event loop alone, by a handler that computes."""


class Universe:
    """The clock, all lanes, and plans: calls at a time of their own, made by nobody's process."""

    def __init__(self, seed: int) -> None:
        self.now, self.rng = 0.0, Random(seed)
        self.lanes: list[Lane] = [self]
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Plan an act so many seconds from now."""
        heapq.heappush(self._plans, (self.now + seconds, next(self._numbers), act))

    def due(self) -> float:
        """As a lane: the next plan."""
        return self._plans[0][0] if self._plans else inf

    def move(self) -> None:
        """As a lane: what was planned for now."""
        heapq.heappop(self._plans)[2]()

    def run(self, until: float) -> None:
        """Let everybody move, in an order of chance, up to that time."""
        turns = 0
        while True:
            when, lane = self._next()
            if when > until:
                self.now = max(self.now, until)
                return
            turns = 0 if when > self.now else turns + 1
            if turns > RESTLESS:
                raise Restless
            self.now = max(self.now, when)
            lane.move()

    def _next(self) -> tuple[float, Lane]:
        first, tied = inf, list[Lane]()
        for lane in self.lanes:
            due = max(self.now, lane.due())
            if due < first:
                first, tied = due, [lane]
            elif due == first:
                tied.append(lane)
        return first, tied[0] if len(tied) == 1 else self.rng.choice(tied)


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is the same in each run of a seed."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _Deaf:
    """A selector of nothing: here, only time and other lanes make things happen."""

    def select(self, timeout: float | None = None) -> tuple[()]:
        return ()


class Loop(asyncio.BaseEventLoop):
    """The event loop of one process; the universe moves it."""

    def __init__(self, universe: Universe, life: Life, on_error: Callable[[str], None]) -> None:
        super().__init__()
        self._selector = _Deaf()
        self.universe, self.life, self._on_error = universe, life, on_error
        self._numbers = count(1)
        self.born: list[_Task] = []
        self.stage: Any = None
        """The process whose loop this is."""
        self.set_debug(False)  # it would look at the stack at each call: ten times slower
        self.set_task_factory(self._make)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.universe.now

    def due(self) -> float:
        """As a lane."""
        if self.life.dead or self.is_closed():
            return inf
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if self._ready:  # type: ignore[attr-defined]
            due = 0.0
        else:
            while scheduled and scheduled[0].cancelled():
                self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
                heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
            due = scheduled[0].when() if scheduled else inf
        return max(due, self.life.frozen_until, self.life.blocked_until)

    def move(self) -> None:
        """As a lane: one turn of the loop."""
        asyncio._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio._set_running_loop(None)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.life.dead:
            self._on_error(f"{context.get('message')}: {context.get('exception')!r}")

    def bury(self) -> None:
        """Take everything away: whatever still waits here never goes on."""
        self.life.dead = True
        asyncio._set_running_loop(self)  # last words may begin something: here, and it ends here
        try:
            while self.born:
                task = self.born.pop()
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _end(task.get_coro())
        finally:
            asyncio._set_running_loop(None)
        self.close()

    def _make(self, loop: object, coro: Coroutine[Any, Any, Any], **more: Any) -> _Task:
        if len(self.born) > 200:
            self.born = [task for task in self.born if not task.done()]
        task = _Task(coro, loop=self, **more)
        task.number = next(self._numbers)
        self.born.append(task)
        return task

    def _write_to_self(self) -> None:
        """Nothing sleeps here that would have to be woken."""

    def _process_events(self, events: object) -> None:
        """There are none."""


def _end(coroutine: Any) -> None:
    """Close a coroutine, however often it goes on to wait."""
    for _ in range(100):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except BaseException:  # noqa: BLE001 - it is over all the same
            return
        return


def pause(seconds: float) -> asyncio.Future[None]:
    """So many seconds of this loop's clock."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, _settle, over)
    return over


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


# ---- threads -------------------------------------------------------------------------------------


class _Gone(BaseException):
    """The process of this thread is no more."""


class Thread:
    """A thread of a simulated process: a real one that moves in its turn only."""

    def __init__(self, target: Callable[[], None], name: str, daemon: bool) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        self._universe, self._life = loop.universe, loop.life
        self._target, self._wakes, self._ended = target, inf, False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, name=f"simulated-{name}", daemon=daemon)
        self.ident: int | None = None

    def start(self) -> None:
        """As of a thread; it has its first turn soon."""
        self._thread.start()
        self.ident, self._wakes = self._thread.ident, self._universe.now
        self._universe.lanes.append(self)

    def due(self) -> float:
        """As a lane."""
        over = self._ended or self._life.dead
        return inf if over else max(self._wakes, self._life.frozen_until)

    def move(self) -> None:
        """As a lane: on to its next wait."""
        self._go.release()
        self._back.acquire()

    def sleep(self, seconds: float) -> None:
        """Wait, in the thread."""
        self._wakes = self._universe.now + seconds
        self._back.release()
        self._go.acquire()
        if self._life.dead:
            raise _Gone

    def wake(self) -> None:
        """End its wait."""
        self._wakes = self._universe.now

    def bury(self) -> None:
        """Let the real thread end; the process is dead."""
        if self.ident is not None:
            self._go.release()
            self._thread.join()

    def _live(self) -> None:
        self._go.acquire()
        with suppress(_Gone):
            if not self._life.dead:
                _mine.set(self)
                self._target()
        self._ended = True
        self._back.release()


_mine: contextvars.ContextVar[Thread] = contextvars.ContextVar("thread")


def sleep(seconds: float) -> None:
    """Of a simulated thread: the others move meanwhile."""
    _mine.get().sleep(seconds)


class Event:
    """As of `threading`, for one thread that waits."""

    def __init__(self) -> None:
        self._is_set, self._waiter = False, None

    _waiter: Thread | None

    def set(self) -> None:
        self._is_set = True
        if self._waiter is not None:
            self._waiter.wake()

    def wait(self, timeout: float) -> bool:
        if not self._is_set:
            self._waiter = _mine.get()
            self._waiter.sleep(timeout)
            self._waiter = None
        return self._is_set
