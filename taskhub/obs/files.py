"""Log files by day (UTC) and size, old ones deleted; it may block: the sink's thread calls it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
PIECES = 8
_TRIES = 3  # two processes may make the file of a new day at the same moment


def utc_today() -> date:
    """The day that a file is named after."""
    return datetime.now(UTC).date()


class Keep(NamedTuple):
    """What is kept of the files of one stem: those of so many days, and so many bytes together."""

    days: int
    size: int = 1_000_000_000

    @property
    def piece(self) -> int:
        """Bytes of one file: the oldest are deleted in pieces of this."""
        return self.size // PIECES


class DailyFile:
    """Appends to `<directory>/<stem>YYYYMMDD.log`, or `..._001.log` when that is full.

    Any number of processes may share it.
    """

    def __init__(
        self,
        directory: Path,
        stem: str,
        keep: Keep,
        today: Callable[[], date] = utc_today,
    ) -> None:
        """Today's file counts among those that are kept."""
        self._directory, self._stem, self._keep = directory, stem, keep
        self._today = today
        self._day: date | None = None
        self._fd = -1
        self._path = directory

    def write(self, data: bytes) -> int:
        """Append what fits; raises OSError when the disk is full or the directory is gone."""
        if self._today() != self._day or not self._in_place():
            self._open(self._today())
        return os.write(self._fd, self._fitting(data))

    def _fitting(self, data: bytes) -> bytes:
        """Whole lines, no more than one file shall have."""
        end = data.rfind(b"\n", 0, self._keep.piece) + 1
        return data[: end or self._keep.piece]

    def reopen(self) -> None:
        """Open by name again at the next write."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        fd, self._fd, self._day = self._fd, -1, None
        if fd >= 0:
            os.close(fd)

    def _in_place(self) -> bool:
        """Whether the name still leads to the open file, and there is room in it.

        It may have been moved or deleted.
        """
        try:
            found = os.fstat(self._fd)
            return found.st_size < self._keep.piece and os.path.samestat(found, self._path.lstat())
        except OSError:
            return False

    def _open(self, day: date) -> None:
        self.close()
        self._directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        self._path = self._place(day)
        self._fd = open_log(self._path)
        self._day = day
        prune(self._directory, self._stem, day, self._keep)

    def _place(self, day: date) -> Path:
        """The last file of the day, or one after it when that is full."""
        number = max((n for d, n, _ in files(self._directory, self._stem) if d == day), default=0)
        path = self._directory / name_of(self._stem, day, number)
        with suppress(OSError):
            if path.lstat().st_size >= self._keep.piece:
                return self._directory / name_of(self._stem, day, number + 1)
        return path


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


def name_of(stem: str, day: date, number: int) -> str:
    """`worker20250928.log`, and `worker20250928_001.log` after it."""
    more = f"_{number:03d}" if number else ""
    return f"{stem}{day:%Y%m%d}{more}.log"


def files(directory: Path, stem: str) -> list[tuple[date, int, Path]]:
    """This stem's files by day and number, the oldest first; others are none of ours."""
    name = re.compile(rf"{re.escape(stem)}(\d{{8}})(?:_(\d{{3,}}))?\.log", re.ASCII)
    found: list[tuple[date, int, Path]] = []
    for path in directory.iterdir():
        if match := name.fullmatch(path.name):
            with suppress(ValueError):  # not a date
                day = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date()
                found.append((day, int(match[2] or 0), path))
    return sorted(found)


def prune(directory: Path, stem: str, today: date, keep: Keep) -> None:
    """Delete what is older than is kept, and the oldest of what would be too much together.

    The newest file stays, and room for as much as it may still grow.
    """
    left = keep.size - 2 * keep.piece  # the newest may have all but a piece, and gets one more
    for number, (day, _, path) in enumerate(reversed(files(directory, stem))):
        with suppress(OSError):  # deleted by another process
            left -= path.lstat().st_size if number else 0
            if (today - day).days >= keep.days or (number and left < 0):
                path.unlink()
