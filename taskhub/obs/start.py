"""Opens the log of a process as `[logs]` says, and closes it; the listener itself is elsewhere."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskhub.config.sections import LogsSection
from taskhub.obs.console import look
from taskhub.obs.files import DailyFile
from taskhub.obs.logs import LogListener, foreign_logs
from taskhub.obs.sinks import StreamTarget, Target, ThreadSink


@dataclass(frozen=True, slots=True)
class Log:
    """An open log: call `listener` with events; `sink.dropped` counts lost lines."""

    listener: LogListener
    sink: ThreadSink


def app_of(unit: str) -> str:
    """The `app` of a process: `worker-2` is taskhub-worker, `api-1` taskhub-api, others taskhub."""
    role = unit.partition("-")[0]
    return f"taskhub-{role}" if role in {"api", "worker"} else "taskhub"


@contextmanager
def open_log(
    section: LogsSection, unit: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Log]:
    """The log of the process called `unit`: daily files, or standard error.

    While it is open, `logging` and warnings of libraries go there too.
    """
    app = app_of(unit)
    terminal = not section.directory and sys.stderr.isatty()
    shape = look(section.format, terminal=terminal, environment=environment)
    sink = ThreadSink(_target(section, app))
    listener = LogListener(app, unit, sink, section.level, shape)
    try:
        with foreign_logs(listener):
            yield Log(listener, sink)
    finally:
        sink.close()


def refusal(section: LogsSection, unit: str) -> str:
    """Why no file can be written there; "" when one can, or when just the disk is full."""
    if not section.directory:
        return ""
    target = _target(section, app_of(unit))
    try:
        target.write(b"")
    except OSError as error:
        passes = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return "" if passes else f"{error.strerror} ({section.directory})"
    finally:
        target.close()
    return ""


def _target(section: LogsSection, app: str) -> Target:
    if not section.directory:
        return StreamTarget(sys.stderr.fileno())
    stem = app.removeprefix("taskhub-")
    return DailyFile(Path(section.directory), stem, section.keep_days)
