"""Opens the log of a process as `[logs]` says, and closes it; the listener itself is elsewhere."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import msgspec

from taskhub.config.sections import LogsSection
from taskhub.obs.console import Look, look
from taskhub.obs.files import DailyFile, Keep
from taskhub.obs.journal import is_journal
from taskhub.obs.logs import LogListener, foreign_logs
from taskhub.obs.sinks import StreamTarget, Target, ThreadSink

FOREVER, MOST = 3_650, 1_000_000
"""Days and megabytes: who only tries whether files can be written deletes none."""
MEGABYTE = 1_000_000


class Log:
    """An open log: call `listener` with events; `sink.dropped` counts lost lines."""

    def __init__(self, section: LogsSection, unit: str, environment: Mapping[str, str]) -> None:
        """Begin to write what the process called `unit` tells."""
        self._section, self._unit, self._environment = section, unit, environment
        self.sink = ThreadSink(_target(section, app_of(unit)))
        shape = self._look(section)
        self.listener = LogListener(app_of(unit), unit, self.sink, section.level, shape)
        self._told = 0

    def losses(self) -> int:
        """How many lines were lost since this was last told; 0 until lines arrive again."""
        if self.sink.dropped == self._told or not self.sink.flows:
            return 0
        before, self._told = self._told, self.sink.dropped
        return self._told - before

    def follow(self, section: LogsSection, levels: Mapping[str, str]) -> None:
        """Go on as the section says now, in the file of the day opened anew."""
        before, self._section = self._section, section
        self.listener.set_level(section.level, levels)
        if _place(section) != _place(before):
            self.listener.set_look(self._look(section))
            self.sink.move(_target(section, app_of(self._unit)))
        else:
            self.sink.reopen()

    def refusal(self, section: LogsSection) -> str:
        """Why this process could not write as the section says; "" when it could."""
        return "" if section.directory == self._section.directory else refusal(section, self._unit)

    def _look(self, section: LogsSection) -> Look:
        if section.directory:
            return look(section.format, terminal=False, environment=self._environment)
        journal = is_journal(sys.stderr.fileno(), self._environment)
        terminal = sys.stderr.isatty()
        return look(
            section.format, terminal=terminal, environment=self._environment, journal=journal
        )


def app_of(unit: str) -> str:
    """The `app` of a process: `worker-2` is taskhub-worker, `api-1` taskhub-api, others taskhub."""
    role = unit.partition("-")[0]
    return f"taskhub-{role}" if role in {"api", "worker"} else "taskhub"


@contextmanager
def open_log(
    section: LogsSection,
    unit: str,
    environment: Mapping[str, str] = os.environ,
    levels: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Log]:
    """The log of the process called `unit`: daily files, or standard error.

    While it is open, `logging` and warnings of libraries go there too.
    """
    log = Log(section, unit, environment)
    log.listener.set_level(section.level, levels)
    try:
        with foreign_logs(log.listener):
            yield log
    finally:
        log.sink.close()


def refusal(section: LogsSection, unit: str) -> str:
    """Why no file can be written there; "" when one can, or when just the disk is full."""
    if not section.directory:
        return ""
    target = _target(msgspec.structs.replace(section, keep_days=FOREVER, max_mb=MOST), app_of(unit))
    try:
        target.write(b"")
    except OSError as error:
        passes = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return "" if passes else f"{error.strerror} ({section.directory})"
    finally:
        target.close()
    return ""


def _place(section: LogsSection) -> tuple[object, ...]:
    """What of `[logs]` a target and a look are made of."""
    return section.directory, section.format, section.keep_days, section.max_mb


def _target(section: LogsSection, app: str) -> Target:
    if not section.directory:
        return StreamTarget(sys.stderr.fileno())
    stem = app.removeprefix("taskhub-")
    keep = Keep(section.keep_days, section.max_mb * MEGABYTE)
    return DailyFile(Path(section.directory), stem, keep)
