"""SIGUSR1: what every actor, mailbox, task and thread does, into the log, of the whole tree."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.kernel.stacks import stacks
from taskhub.obs.telemetry import StacksDumped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskhub.app.process import Process
    from taskhub.kernel.child import ActorState

PIECE = 12_000
"""Characters of stacks in one log line."""


def dump(process: Process, children: Iterable[str] = ()) -> None:
    """Tell of this process, and have those of its children do the same that are ours."""
    rows = process.supervisor.tree() if process.supervisor is not None else []
    process.emit(StacksDumped(actor=process.name, trace="\n".join(map(line, rows))))
    for part in parts(stacks(asyncio.get_running_loop())):
        process.emit(StacksDumped(actor=process.name, trace=part))
    ours = {f"{process.name}/{name}" for name in children}
    for row in rows:
        if row.name in ours and row.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(row.pid, signal.SIGUSR1)


def parts(text: str) -> Iterator[str]:
    """The text in pieces that a log line takes whole, parted between two stacks."""
    piece = ""
    for stack in text.split("\n\n"):
        if piece and len(piece) + len(stack) > PIECE:
            yield piece
            piece = ""
        piece += f"{stack}\n\n"
    yield piece


def line(row: ActorState) -> str:
    """One actor in words."""
    mailbox = f", mailbox {row.mailbox_depth}/{row.mailbox_limit}" if row.mailbox_limit else ""
    pid = f", pid {row.pid}" if row.pid is not None else ""
    return f"{row.name}: {row.state}, up {row.uptime:.0f} s, {row.restarts} restarts{mailbox}{pid}"
