"""The threads of `def` handlers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from taskhub.work.threads import Threads

from tests.waiting import until

NAME = "test-threads"


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Two threads at most."""
    threads = Threads(2, NAME)
    yield threads
    threads.close()


def _alive() -> int:
    return sum(thread.name.startswith(NAME) for thread in threading.enumerate())


async def test_a_thread_is_started_only_when_it_is_needed(threads: Threads) -> None:
    """Most workers have no `def` handler at all; an idle thread is used again."""
    assert _alive() == 0

    for number in range(5):
        assert await threads.call(partial(int, number)) == number

    assert _alive() == 1


async def test_calls_that_block_do_not_hold_up_the_other_threads(threads: Threads) -> None:
    """Each gets its own, up to the size; the rest wait their turn."""
    go, both = threading.Event(), threading.Barrier(3)

    def blocks() -> None:
        both.wait(10)
        go.wait(10)

    waiting = [threads.call(blocks), threads.call(blocks)]
    await asyncio.to_thread(both.wait, 10)
    third = threads.call(lambda: "third")
    assert _alive() == 2
    go.set()

    assert await third == "third"
    await asyncio.wait(waiting)


async def test_more_threads_serve_what_waits_already(threads: Threads) -> None:
    """A reload that raises the concurrency must not wait for the next call."""
    go, both = threading.Event(), threading.Barrier(3)

    def blocks() -> None:
        both.wait(10)
        go.wait(10)

    blocked = [threads.call(blocks), threads.call(blocks)]
    await asyncio.to_thread(both.wait, 10)
    third = threads.call(lambda: "third")
    threads.resize(3)

    assert await third == "third"
    go.set()
    await asyncio.wait(blocked)


async def test_fewer_threads_are_left_when_they_are_idle(threads: Threads) -> None:
    """And the ones that stay go on working."""
    both = threading.Barrier(2)
    await asyncio.gather(threads.call(lambda: both.wait(10)), threads.call(lambda: both.wait(10)))

    threads.resize(1)

    await until(lambda: _alive() == 1)
    assert await threads.call(lambda: "still") == "still"


async def test_after_the_close_every_thread_ends(threads: Threads) -> None:
    """Also the one that is busy, once its call is over."""
    begun, go = threading.Event(), threading.Event()

    def blocks() -> None:
        begun.set()
        go.wait(10)

    call = threads.call(blocks)
    await asyncio.to_thread(begun.wait, 10)
    threads.close()
    threads.close()
    go.set()

    await call
    await until(lambda: _alive() == 0)


async def test_a_call_that_nobody_waits_for_any_more_ends_quietly(threads: Threads) -> None:
    """Its future was cancelled: the result is dropped, the thread serves the next."""
    begun, go = threading.Event(), threading.Event()

    def blocks() -> None:
        begun.set()
        go.wait(10)

    forgotten = threads.call(blocks)
    await asyncio.to_thread(begun.wait, 10)
    forgotten.cancel()
    go.set()

    assert await threads.call(lambda: "next") == "next"
    assert forgotten.cancelled()


def test_a_loop_that_has_closed_meanwhile_does_no_harm() -> None:
    """The process is about to exit; a thread may still be in a handler."""
    threads, begun, go = Threads(1, NAME), threading.Event(), threading.Event()

    def blocks() -> None:
        begun.set()
        go.wait(10)

    async def leave() -> None:
        threads.call(blocks)
        await asyncio.to_thread(begun.wait, 10)

    asyncio.run(leave())
    threads.close()
    go.set()

    for thread in threading.enumerate():
        if thread.name.startswith(NAME):
            thread.join(5)
    assert _alive() == 0
