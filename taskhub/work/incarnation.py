"""Proof of life: a file that the kernel keeps locked for exactly as long as a process lives."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import struct
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from taskhub.config.runtime import make_private
from taskhub.model import Incarnation, Owner

LOCKS = "locks"
"""The folder of locks and ledgers, inside the runtime directory."""

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, pid."""

_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STALE = 86_400.0


class Standing(StrEnum):
    """What the lock of an incarnation says about it."""

    HELD = "held"
    """It lives."""
    FREE = "free"
    """It is dead."""
    UNKNOWN = "unknown"
    """Nothing can be said: of another boot or host, or its file is gone."""


def lock_file(runtime: Path, owner: Owner) -> Path | None:
    """Where the lock of an owner is (None: this text names none that could be ours)."""
    return _file(runtime, owner, ".lock")


def ledger_file(runtime: Path, owner: Owner) -> Path | None:
    """Where the ledger of an owner is (None: this text names none that could be ours)."""
    return _file(runtime, owner, ".ledger")


class IncarnationLock:
    """Says that this life of this process goes on; the kernel takes it back with its death.

    It is a POSIX record lock (fcntl(2)): no child inherits it. The price: if this process opens
    and closes its own file once more, the lock is gone, so nothing here ever does. One to a
    process.
    """

    def __init__(self, runtime: Path, owner: Owner) -> None:
        self._folder = runtime / LOCKS
        self._path, self._ledger = lock_file(runtime, owner), ledger_file(runtime, owner)
        self._fd = -1

    def hold(self) -> None:
        """Take it; raises OSError (PermissionError: the folder is another account's)."""
        make_private(self._folder)
        _tidy(self._folder)
        if self._path is None:
            raise ValueError("no name of an incarnation")
        unnamed = self._path.with_suffix(".new")
        self._fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(self._path)  # only now: whoever finds it finds it locked

    def release(self) -> None:
        """Give it back and take the files away: this owner holds no lease any more."""
        for path in (self._path, self._ledger):
            if path is not None and self._fd >= 0:
                path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Give it back as a death would: the files stay for whoever takes over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def standing_of(lock: Path) -> Standing:
    """Who holds the lock of another process? Never ask about a lock of this very process: the
    kernel would say that it is free, and closing the file would make that true.
    """
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return Standing.UNKNOWN
    try:
        wish = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, wish))[0]
    finally:
        os.close(fd)
    return Standing.FREE if found == fcntl.F_UNLCK else Standing.HELD


def _file(runtime: Path, owner: Owner, suffix: str) -> Path | None:
    """The owner's text comes from a database: it must not lead anywhere else."""
    with suppress(ValueError):
        nonce = Incarnation.parse(owner).nonce
        if _NONCE.fullmatch(nonce):
            return runtime / LOCKS / f"{nonce}{suffix}"
    return None


def _tidy(folder: Path) -> None:
    """Take away what dead processes left, a day after it was found that they are dead.

    A file's own time is about its owner's start: one that worked for a week and died just now
    still has to be asked about by whoever takes over. So what is found is marked, by its mode.
    """
    before = time.time() - _STALE
    for path in folder.iterdir():
        with suppress(OSError):
            found = path.stat()
            if found.st_mtime > before or standing_of(path.with_suffix(".lock")) is Standing.HELD:
                continue
            if path.suffix != ".new" and found.st_mode & stat.S_IWUSR:
                path.chmod(stat.S_IRUSR)
                os.utime(path)
            else:
                path.unlink()
