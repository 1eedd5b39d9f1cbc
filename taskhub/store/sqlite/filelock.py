"""A lock between processes, on a file beside the database: fair enough, quick, and never stuck.

SQLite's own busy handler sleeps for up to 100 ms between two looks; with several writers that is
where slow commits come from. Waiting here, in fractions of a millisecond, costs next to nothing.
The kernel frees the lock when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

POLL = 0.0003  # seconds between two looks


class FileLock:
    """One holder at a time among all processes and threads; each thread needs its own object."""

    def __init__(self, path: Path) -> None:
        """Make ready for `path`; the file is made at `open`."""
        self._path = path
        self._file: int | None = None

    def open(self) -> None:
        """Have the file at hand; it is left in place for ever, so that all lock the same one."""
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o640)

    def acquire(self, timeout: float, stop: threading.Event | None = None) -> bool:
        """Wait up to `timeout` seconds, or until `stop` is set; whether we hold it now."""
        assert self._file is not None
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= end or (stop is not None and stop.is_set()):
                    return False
            time.sleep(POLL)

    def release(self) -> None:
        """Let the next one in."""
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back; may be called twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
