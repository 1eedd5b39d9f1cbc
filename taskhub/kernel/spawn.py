"""One operating-system process from its spawn to its reaping; process.py decides about it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.kernel.lifeline import READY, frame

if TYPE_CHECKING:
    from taskhub.kernel.process import ProcessSpec


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new child is told: its incarnation, the fd of its lifeline, its socket's path.

    `lifeline` is -1 for a child that gets none.
    """

    incarnation: str
    lifeline: int
    socket: Path | None


class Spawned:
    """A child process, in a session of its own, that we reap."""

    def __init__(self, birth: Birth, popen: subprocess.Popen[bytes], line: socket.socket) -> None:
        """Watch a process that was just started, on the running loop."""
        self.birth, self.pid, self._popen, self._line = birth, popen.pid, popen, line
        self.said_ready = False
        """Whether it had said so, known once it is reaped."""
        line.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(popen.pid)
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._pidfd, self._on_exit)

    async def feed(self, snapshot: bytes) -> None:
        """Send the snapshot through the lifeline, as fast as the child reads it."""
        with suppress(ConnectionError):  # it has died: `exited` tells
            await self._loop.sock_sendall(self._line, frame(snapshot))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process; nothing happens when it has ended."""
        if self._popen.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process and all it has started in its session's group."""
        if self._popen.returncode is None:  # not reaped: the number is still its own
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Take its exit code, or minus the signal, once it has `exited`; let go of all of it."""
        self.kill()  # what it has started may not outlive it
        kill_session(self.pid)
        status = self._popen.wait()
        with suppress(OSError):
            self.said_ready = self._line.recv(len(READY)) == READY
        self._line.close()
        return status

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self.exited.done():
            self.exited.set_result(None)


def kill_session(leader: int) -> None:
    """Kill what is left in the session of a process that is dead and not reaped: its number is
    still its own. There may be groups in it, of children that were killed before they could do so.
    """
    for entry in Path("/proc").iterdir():
        with suppress(ValueError, ProcessLookupError, PermissionError):
            pid = int(entry.name)
            if pid != leader and os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def spawn(spec: ProcessSpec) -> Spawned:
    """Start one process, from the loop's thread: it takes the few milliseconds of an exec.

    Raises OSError when the program cannot be run.
    """
    ours, theirs = socket.socketpair()
    with_line = spec.snapshot is not None
    birth = Birth(spec.mint(), theirs.fileno() if with_line else -1, spec.socket)
    try:
        popen = subprocess.Popen(
            list(spec.argv(birth)),
            env=dict(spec.env),
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=spec.output,
            stderr=spec.output,
            pass_fds=(*spec.pass_fds, theirs.fileno()) if with_line else tuple(spec.pass_fds),
            start_new_session=spec.own_session,
            process_group=None if spec.own_session else 0,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        return Spawned(birth, popen, ours)
    except BaseException:
        popen.kill()
        popen.wait()
        ours.close()
        raise
