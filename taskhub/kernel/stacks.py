"""What every task and thread of this process does right now, as text; safe from any thread."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

DEPTH = 40  # awaits of one task that are followed


def stacks(loop: asyncio.AbstractEventLoop) -> str:
    """Every task of the loop and every thread of the process, with their stacks."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    parts = [f"task {task.get_name()}\n{_task(task)}" for task in tasks]
    parts += [
        f"thread {thread.name}\n{thread_stack(thread.ident or 0)}"
        for thread in threading.enumerate()
    ]
    return "\n".join(parts)


def thread_stack(ident: int) -> str:
    """The stack of one thread, innermost call last."""
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - documented, despite its name
    return "".join(traceback.format_stack(frame)) if frame is not None else ""


def _task(task: asyncio.Task[Any]) -> str:
    lines = ((frame, frame.f_lineno) for frame in _awaits(task.get_coro()))
    return "".join(traceback.StackSummary.extract(lines).format())


def _awaits(step: Any) -> Iterator[FrameType]:
    """The frames from a coroutine down to what it waits for."""
    for _ in range(DEPTH):
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is None:
            return
        yield frame
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)
