"""One log file a day (UTC), old ones deleted; it may block, so the sink's thread calls it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TRIES = 3  # two processes may make the file of a new day at the same moment


def utc_today() -> date:
    """The day that a file is named after."""
    return datetime.now(UTC).date()


class DailyFile:
    """Appends to `<directory>/<stem>YYYYMMDD.log`; any number of processes may share it."""

    def __init__(
        self,
        directory: Path,
        stem: str,
        keep_days: int,
        today: Callable[[], date] = utc_today,
    ) -> None:
        """Keep the files of the last `keep_days` days, today's included."""
        self._directory, self._stem, self._keep_days = directory, stem, keep_days
        self._today = today
        self._day: date | None = None
        self._fd = -1
        self._path = directory

    def write(self, data: bytes) -> int:
        """Append what fits; raises OSError when the disk is full or the directory is gone."""
        if self._today() != self._day or not self._in_place():
            self._open(self._today())
        return os.write(self._fd, data)

    def reopen(self) -> None:
        """Open by name again at the next write."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        fd, self._fd, self._day = self._fd, -1, None
        if fd >= 0:
            os.close(fd)

    def _in_place(self) -> bool:
        """Whether the name still leads to the open file: it may have been moved or deleted."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.lstat())
        except OSError:
            return False

    def _open(self, day: date) -> None:
        self.close()
        self._directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        self._path = self._directory / f"{self._stem}{day:%Y%m%d}.log"
        self._fd = open_log(self._path)
        self._day = day
        prune(self._directory, self._stem, day, self._keep_days)


def open_log(path: Path) -> int:
    """Open a log file for appending, made with mode 0640.

    Whatever else lies at its place (a symbolic or hard link, a pipe) is taken away, not followed:
    who may write to the directory must not choose which file we write to.
    """
    for _ in range(_TRIES):
        try:
            return _open_existing(path)
        except FileNotFoundError:
            with suppress(FileExistsError):
                return _create(path)
        except ForeignFile:
            path.unlink(missing_ok=True)
    raise FileExistsError(errno.EEXIST, "something keeps taking the log file's place", str(path))


class ForeignFile(Exception):
    """What lies at the log file's place is not a log file of ours."""


def _open_existing(path: Path) -> int:
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a symbolic link; a pipe without reader
            raise ForeignFile(path) from error
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(fd)
        raise ForeignFile(path)
    return fd


def _create(path: Path) -> int:
    fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, FILE_MODE)
    os.fchmod(
        fd, FILE_MODE
    )  # the mask of a service may be stricter than its log's readers can bear
    return fd


def prune(directory: Path, stem: str, today: date, keep_days: int) -> None:
    """Delete this stem's files that are older than `keep_days` days; others are left alone."""
    name = re.compile(rf"{re.escape(stem)}(\d{{8}})\.log")
    for path in directory.iterdir():
        if not (found := name.fullmatch(path.name)):
            continue
        with suppress(ValueError, OSError):  # not a date; deleted by another process
            day = datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC).date()
            if (today - day).days >= keep_days:
                path.unlink()
