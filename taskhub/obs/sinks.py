"""Takes log lines from any thread without blocking and writes them from a thread of its own."""

from __future__ import annotations

import os
import select
import stat
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

LIMIT = 8 * 1024 * 1024
"""Bytes of lines that may wait for a slow or full disk; what comes then is dropped and counted."""
LINGER = 0.02
"""Seconds that the writer lets lines gather: a wake-up costs the event loop more than a line."""
RETRY = 0.5
"""Seconds until a failed write is tried again."""
SOCKET_CHUNK = 32_000
"""Bytes that a unix stream socket, such as the journal's, takes as one piece."""
BATCH = 1_024
"""Lines joined into one write."""
_OVERHEAD = 64  # what a queued line takes beside its bytes


class Target(Protocol):
    """Where the writer thread puts bytes; its methods may block and may raise OSError."""

    def write(self, data: bytes) -> int:
        """Write what fits and return how much that was."""

    def reopen(self) -> None:
        """Begin anew with the next write."""

    def close(self) -> None:
        """Give everything back."""


class ThreadSink:
    """A bounded queue in front of one writer thread.

    `write` costs well under a microsecond, never blocks and never raises; `dropped` counts the
    lines that were lost. A kill -9 loses the lines of the last `linger` seconds.
    """

    def __init__(
        self, target: Target, *, limit: int = LIMIT, linger: float = LINGER, retry: float = RETRY
    ) -> None:
        """Start the thread that writes to `target`."""
        self.dropped = 0
        self._target, self._limit, self._linger, self._retry = target, limit, linger, retry
        # A SimpleQueue may be put to from a signal handler or from a destructor that runs inside
        # another put; a lock of our own could not.
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._taken = self._done = 0  # bytes: both only grow, each has one kind of writer
        self._closing, self._reopen = threading.Event(), False
        self._stuck = False
        self._moves: SimpleQueue[Target] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line (without its newline)."""
        size = len(line) + _OVERHEAD
        if self._taken - self._done + size > self._limit or self._closing.is_set():
            self.dropped += 1
            return
        self._taken += size
        self._lines.put(line)

    @property
    def flows(self) -> bool:
        """Whether lines arrive again: the last write went well, and the queue is no jam."""
        return not self._stuck and 2 * (self._taken - self._done) < self._limit

    def reopen(self) -> None:
        """Have the target begin anew: its file was moved away."""
        self._reopen = True
        self._lines.put(None)

    def move(self, target: Target) -> None:
        """Write to another target from now on, also what waits for the one there was."""
        self._moves.put(target)
        self._lines.put(None)

    def close(self, within: float = 2.0) -> None:
        """Write what is queued, for at most so many seconds; later lines are dropped."""
        self._closing.set()
        self._lines.put(None)
        self._thread.join(within)

    def _serve(self) -> None:
        while not (self._closing.is_set() and self._lines.empty()):
            self._deliver(self._gather())
        self._target.close()

    def _gather(self) -> list[bytes]:
        """Wait for a line, then take all that come within the linger."""
        found = [self._lines.get()]
        if self._lines.qsize() < BATCH:
            self._closing.wait(self._linger)
        with suppress(Empty):
            while len(found) < BATCH:
                found.append(self._lines.get_nowait())
        return [line for line in found if line is not None]

    def _turn(self) -> bool:
        """Do what was asked for between two writes; whether the target is another one now."""
        moved = False
        with suppress(Empty):
            while True:
                following = self._moves.get_nowait()
                self._target.close()
                self._target, moved = following, True
        if self._reopen:
            self._reopen = False
            self._target.reopen()
        return moved

    def _deliver(self, lines: list[bytes]) -> None:
        self._turn()
        if lines:
            self._write_all(b"\n".join(lines) + b"\n")
        self._done += sum(map(len, lines)) + _OVERHEAD * len(lines)

    def _write_all(self, data: bytes) -> None:
        """Write it however long that takes; what fits no more is lost when we are closing."""
        is_whole = True
        while data:
            try:
                size = self._target.write(data)
                is_whole, data = data[size - 1 : size] == b"\n", data[size:]
                self._stuck = False
            except BrokenPipeError:  # the reader has gone for good
                self._stuck = True
                break
            except OSError:  # no space, no directory, nobody reads: it may be mended
                self._stuck = True
                is_closing = self._closing.wait(self._retry)
                if self._turn():
                    data = self._rest(data, is_whole=is_whole)
                elif is_closing:
                    break
        self.dropped += data.count(b"\n")

    def _rest(self, data: bytes, *, is_whole: bool) -> bytes:
        """What another target gets: not the end of a line that has begun in the one before."""
        if is_whole:
            return data
        self.dropped += 1
        return data.partition(b"\n")[2]


class StreamTarget:
    """Standard output or error; a reader that stops reading holds nothing up."""

    CHUNK = select.PIPE_BUF  # what a pipe takes whole: lines of several processes do not mix
    PATIENCE = 500  # milliseconds to wait for a reader before the sink is asked again

    def __init__(self, fd: int) -> None:
        """Write to a copy of `fd`, so that closing ours closes nobody's."""
        self._fd = os.dup(fd)
        mode = os.fstat(fd).st_mode
        self._is_file = stat.S_ISREG(mode)
        self._chunk_size = SOCKET_CHUNK if stat.S_ISSOCK(mode) else self.CHUNK
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def write(self, data: bytes) -> int:
        """Write one chunk; raises TimeoutError when nobody reads."""
        if not self._poll.poll(self.PATIENCE):
            raise TimeoutError("nobody reads the log")
        return os.write(self._fd, self._chunk(data))

    def _chunk(self, data: bytes) -> bytes:
        """Whole lines, if one fits; a file takes all at once, so that not even long lines mix."""
        if self._is_file:
            return data
        end = data.rfind(b"\n", 0, self._chunk_size) + 1
        return data[: end or self._chunk_size]

    def reopen(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """Close our copy."""
        os.close(self._fd)
