"""Which tasks have begun here, in a mapped file that outlives this process's sudden death."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from taskhub.model import TaskId

_SLOT = 16
_MAGIC = b"taskhub ledger\x01"  # the first slot; its last byte says whether all is written down
_COMPLETE, _INCOMPLETE = b"\x00", b"\x01"
_EMPTY = bytes(_SLOT)


class Ledger:
    """A task's id is in the file from before its handler begins until its outcome is stored.

    One id a slot of 16 bytes, free slots in memory: `start` and `end` cost half a microsecond.
    When all are taken the file doubles; where it cannot (a full disk), it says of itself that it
    is incomplete, and whoever takes over counts every task as started.
    """

    def __init__(self, fd: int, memory: mmap.mmap) -> None:
        self._fd, self._memory = fd, memory
        self._slots: dict[TaskId, int] = {}
        self._free = list(range(len(memory) - _SLOT, 0, -_SLOT))

    @classmethod
    def create(cls, path: Path, slots: int) -> Ledger:
        """A new file for so many tasks at once; raises OSError when there is no room for it."""
        size = (slots + 1) * _SLOT
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)  # a mapped page without a place on disk would kill us
            memory = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            path.unlink()
            raise
        memory[:_SLOT] = _MAGIC + _COMPLETE
        return cls(fd, memory)

    def start(self, task_id: TaskId) -> None:
        """The handler begins. Twice is as good as once."""
        if task_id in self._slots or not (self._free or self._grow()):
            return
        slot = self._slots[task_id] = self._free.pop()
        self._memory[slot : slot + _SLOT] = bytes.fromhex(task_id.replace("-", ""))

    def end(self, task_id: TaskId) -> None:
        """Its outcome is stored, or its end is nobody's fault. Unknown ids change nothing."""
        slot = self._slots.pop(task_id, None)
        if slot is not None:
            self._memory[slot : slot + _SLOT] = _EMPTY
            self._free.append(slot)

    def close(self) -> None:
        """Let go of the file, which stays; may be called twice."""
        if self._fd >= 0:
            self._memory.close()
            os.close(self._fd)
            self._fd = -1

    def _grow(self) -> bool:
        size = len(self._memory)
        try:
            os.posix_fallocate(self._fd, size, size)
            self._memory.resize(2 * size)
        except (OSError, ValueError, SystemError):
            self._memory[_SLOT - 1 : _SLOT] = _INCOMPLETE
            return False
        self._free = list(range(2 * size - _SLOT, size - _SLOT, -_SLOT))
        return True


def read_ledger(path: Path) -> list[TaskId] | None:
    """The tasks that had begun when its writer died; None: it is not there, or not complete."""
    with suppress(OSError):
        data = path.read_bytes()
        if data[:_SLOT] == _MAGIC + _COMPLETE:
            return list(map(_task_id, filter(any, _slots(data))))
    return None


def _slots(data: bytes) -> list[bytes]:
    whole = len(data) - len(data) % _SLOT
    return [data[at : at + _SLOT] for at in range(_SLOT, whole, _SLOT)]


def _task_id(slot: bytes) -> TaskId:
    return TaskId(str(UUID(bytes=slot)))
