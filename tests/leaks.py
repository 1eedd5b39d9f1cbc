"""What a test left behind: threads and processes. It only looks and ends; conftest.py judges."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = "PYTEST_LEAK_TOKEN"  # in the environment of every process that the test starts
STARTS_WITHIN = 0.05  # seconds; while a process starts, its environment is empty


@dataclass(frozen=True)
class Process:
    """One living or unreaped process of the operating system."""

    pid: int
    started: str  # clock ticks since boot: a pid alone may be used again
    command: str = field(compare=False)
    is_zombie: bool = field(compare=False)


def threads_left(before: set[threading.Thread], within: float) -> list[str]:
    """Names of threads that are new and do not end within so many seconds."""
    end = time.monotonic() + within
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(max(0.0, end - time.monotonic()))
    return [thread.name for thread in new if thread.is_alive()]


def pids() -> frozenset[str]:
    """Ids of all processes that there are; whose id is not among them has come later."""
    return frozenset(folder.name for folder in Path("/proc").glob("[0-9]*"))


def processes(before: frozenset[str], token: str) -> set[Process]:
    """Of those that have come later: our children, and each that bears the token, orphans too."""
    found = set()
    for pid in pids() - before:
        with suppress(OSError):
            if process := _read(Path("/proc", pid), token):
                found.add(process)
    return found


def still_running(before: frozenset[str], token: str, within: float) -> list[str]:
    """Commands of processes that are new and do not end within so many seconds; then kill them."""
    end = time.monotonic() + within
    left = [new for new in processes(before, token) if not _ended(new, end - time.monotonic())]
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return [f"{process.command} (pid {process.pid})" for process in left]


def never_reaped(before: frozenset[str], token: str) -> list[str]:
    """Commands of new children that have ended and that nobody waited for; then reap them."""
    dead = [process for process in processes(before, token) if process.is_zombie]
    for process in dead:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return [f"{process.command} (pid {process.pid})" for process in dead]


def _read(folder: Path, token: str) -> Process | None:
    name, fields = _stat(folder)
    state, parent, started = fields[0], int(fields[1]), fields[19]
    if not (parent == os.getpid() or _bears(folder, token)):
        return None
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return Process(int(folder.name), started, command.strip() or name, state == "Z")


def _bears(folder: Path, token: str) -> bool:
    end = time.monotonic() + STARTS_WITHIN
    while not (environment := (folder / "environ").read_bytes()) and time.monotonic() < end:
        os.sched_yield()
    return f"{TOKEN}={token}".encode() in environment.split(b"\0")


def _stat(folder: Path) -> tuple[str, list[str]]:
    """The command's name and the fields after it: state first, then parent (see proc(5))."""
    before, _, after = (folder / "stat").read_text(errors="replace").rpartition(")")
    return before.partition("(")[2], after.split()


def _ended(process: Process, within: float) -> bool:
    """Wait on a pidfd: readable when the process has ended, reaped or not."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], max(0.0, within))[0])
    finally:
        os.close(fd)
