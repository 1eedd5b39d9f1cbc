"""Awaits a coroutine in the caller's own task, and can let go of one that will not stop."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from taskhub.work.attempt import Attempt

_Future = asyncio.Future  # the plain one: it ends at once when it is cancelled


@types.coroutine
def leashed(coroutine: Coroutine[Any, Any, Any], attempt: Attempt) -> Generator[Any, None, Any]:
    """The result of `coroutine`; a cancellation reaches it as always.

    But once the attempt `is_stubborn`, the next cancellation ends the wait instead: the coroutine
    is closed and, should it refuse even that, never resumed. A second asyncio task for this would
    cost a third of what a small handler costs.
    """
    step, argument = coroutine.send, None
    while True:
        try:
            wanted = step(argument)
        except StopIteration as stop:
            return stop.value
        step, argument = coroutine.send, None
        try:
            if wanted is None or type(wanted) is _Future:
                yield wanted
            else:
                yield from _gate(wanted, attempt)
        except BaseException as error:
            if attempt.is_stubborn:
                _let_go(coroutine, attempt)
                raise
            step, argument = coroutine.throw, error


def _gate(wanted: Any, attempt: Attempt) -> Generator[Any, None, None]:
    """Wait for a future that may ignore its cancellation (another task) by one that does not."""
    wanted._asyncio_future_blocking = False  # noqa: SLF001 - as a task does with what it is given
    while not wanted.done():
        gate = wanted.get_loop().create_future()
        opener = partial(_open, gate)
        wanted.add_done_callback(opener)
        try:
            yield from gate
        except asyncio.CancelledError:
            if attempt.is_stubborn or not wanted.cancel():
                raise
        finally:
            wanted.remove_done_callback(opener)


def _open(gate: asyncio.Future[None], _: object) -> None:
    if not gate.done():
        gate.set_result(None)


def _let_go(coroutine: Coroutine[Any, Any, Any], attempt: Attempt) -> None:
    with suppress(BaseException):  # it ignores its end, or fails at it: it is over all the same
        coroutine.close()
    if inspect.getcoroutinestate(coroutine) != inspect.CORO_CLOSED:
        attempt.left = coroutine  # collected, it would be closed once more, in vain
