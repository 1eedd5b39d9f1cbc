"""Whose a task is that was sent ahead to a processor: whoever takes its ticket has it, once."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

_NUMBER = struct.Struct("=Q")
_ALL = 65_536
"""Bytes: as much as a pipe holds."""


class Tickets:
    """A pipe that a worker and one processor of it both read, so that the kernel decides.

    The processor takes a ticket before a task begins; the worker takes back what is left, without
    asking: a handler that stands on the processor's loop cannot hold up what waits behind it, and
    when the processor has died, what has no ticket any more is what it was at.
    """

    def __init__(self, reading: int, writing: int = -1) -> None:
        """The descriptors are ours from now on; a processor has none to write to."""
        self.reading, self._writing = reading, writing

    @classmethod
    def create(cls) -> Self:
        """The worker's; `reading` is to be passed on to the processor."""
        return cls(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))

    def put(self, numbers: Sequence[int]) -> None:
        """Before the tasks themselves are sent: one that is there without a ticket is void."""
        os.write(self._writing, b"".join(map(_NUMBER.pack, numbers)))

    def take(self) -> int | None:
        """The next ticket; None: there is none."""
        with suppress(BlockingIOError):
            if data := os.read(self.reading, _NUMBER.size):
                return int(_NUMBER.unpack(data)[0])
        return None

    def take_all(self) -> list[int]:
        """Every ticket that is left."""
        with suppress(BlockingIOError):
            return [number for (number,) in _NUMBER.iter_unpack(os.read(self.reading, _ALL))]
        return []

    def close(self) -> None:
        """Let go of the pipe; may be called twice."""
        for descriptor in {self.reading, self._writing} - {-1}:
            os.close(descriptor)
        self.reading = self._writing = -1
