"""The listener that writes telemetry to the log, and the way of foreign log records into it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from taskhub.obs.clef import Render, clef, utc_now
from taskhub.obs.console import Look, console
from taskhub.obs.journal import prefixed
from taskhub.obs.levels import LEVELS, Levels
from taskhub.obs.lines import LINES, SEVERITIES, Line, plain_line
from taskhub.obs.structured import structlog
from taskhub.obs.telemetry import Level, Telemetry

Write = Callable[[Any], None]


class Sink(Protocol):
    """Where lines go. `write` never blocks and never raises; lines come without a newline."""

    def write(self, line: bytes) -> None:
        """Take one line, from any thread."""


class _Logger(structlog.BoundLoggerBase):
    """A bound logger that says a sentence; which level it has is bound.

    It goes the way of structlog's own loggers, but hands one dict on and not three copies of it.
    """

    def say(self, sentence: str, properties: dict[str, Any]) -> None:
        """Write one line."""
        line: Any = self._context | properties
        line["@m"] = sentence
        for process in self._processors:
            line = process(self._logger, "write", line)
        self._logger.write(line)


def _nothing(_event: Any) -> None:
    """Write nothing: the event is not for the log, or below the level."""


class LogListener:
    """Called with an event it writes its line, if the level lets it through.

    `app` is taskhub-api | taskhub-worker | taskhub, `unit` the process (`worker-1`). It does not
    block, does not raise, and may be called from any thread.
    """

    def __init__(
        self,
        app: str,
        unit: str,
        sink: Sink,
        level: str = "info",
        format: Look = "clef",  # noqa: A002 - the word of the configuration
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Write to `sink` what is at least as loud as `level` (a word of the configuration)."""
        self._app, self._unit, self._sink, self._clock = app, unit, sink, clock
        self._log = _logger(sink, _render(format, clock))
        self._writes: dict[type[Telemetry], Write] = {}
        self.levels = Levels.of(level, {})

    def __call__(self, event: Telemetry) -> None:
        """Write the event's line."""
        write = self._writes.get(type(event))
        if write is None:
            write = self._learn(type(event))
        write(event)

    def set_level(self, level: str, named: Mapping[str, str] | None = None) -> None:
        """Change the level from now on (`debug`, `info`, `warning`, `error`).

        `named` are those of some actors alone, by their names.
        """
        self.levels = Levels.of(level, named or {})
        self._writes = {}  # each event is learnt anew; a dict replaced whole needs no lock

    def set_look(self, look: Look) -> None:
        """Change how lines look from now on."""
        self._log = _logger(self._sink, _render(look, self._clock))
        self._writes = {}

    def foreign(self, record: logging.LogRecord) -> None:
        """Write a record of the standard library's `logging`, with its traceback in `@x`.

        What libraries call information is news to their authors alone: here it is debugging.
        """
        level = SEVERITIES.get(record.levelname.lower(), Level.DEBUG)
        level = Level.DEBUG if level is Level.INFO else level
        if not self.levels.lets(level, self._unit):
            return
        properties = {"Logger": record.name, "Thread": record.threadName}
        if record.exc_info and record.exc_info[0] is not None:
            properties["@x"] = logging.Formatter().formatException(record.exc_info)
        self._bound("LogRecord", level, "").say(_sentence(record), properties)

    def _learn(self, kind: type[Telemetry]) -> Write:
        line = LINES.get(kind) or plain_line(kind)
        if not kind.message:
            write: Write = _nothing
        elif line.level is not None:
            write = self._by_level(kind, line.level)
        else:
            write = self._at(kind, kind.level)
        self._writes[kind] = write
        return write

    def _at(self, kind: type[Telemetry], level: Level) -> Write:
        """How events of this kind are written at this level."""
        line = LINES.get(kind) or plain_line(kind)
        if not line.role and "actor" in kind.__struct_fields__ and self.levels.named:
            return self._by_actor(self._loud(kind, level, line), level)
        who = f"{self._unit}/{line.role}" if line.role else self._unit
        return self._loud(kind, level, line) if self.levels.lets(level, who) else _nothing

    def _by_actor(self, write: Write, level: Level) -> Write:
        """The event itself says which actor it is about."""
        lets = self.levels.lets

        def write_some(event: Any) -> None:
            if lets(level, event.actor):
                write(event)

        return write_some

    def _loud(self, kind: type[Telemetry], level: Level, line: Line) -> Write:
        say, log = line.say, self._bound(kind.__name__, level, line.role)

        def write(event: Telemetry) -> None:
            log.say(*say(event))

        return write

    def _by_level(self, kind: type[Telemetry], level_of: Callable[[Any], Level]) -> Write:
        writes = {level: self._at(kind, level) for level in LEVELS}

        def write(event: Telemetry) -> None:
            writes[level_of(event)](event)

        return write

    def _bound(self, name: str, level: Level, role: str) -> _Logger:
        """A logger with all that is the same on each line of a kind, in the order of the line."""
        fixed = {"@t": None, "@m": None, "@i": name, "@l": level.value, "lvl": level.value}
        actor = f"{self._unit}/{role}" if role else self._unit
        ids = {"ActorId": actor, "RequestId": None, "TraceId": None}
        logger: _Logger = self._log.bind(**fixed, app=self._app, unit=self._unit, **ids)
        return logger


def _logger(sink: Sink, render: Render) -> Any:
    return structlog.wrap_logger(
        sink,
        processors=[render],
        wrapper_class=_Logger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )


def _render(look: Look, clock: Callable[[], datetime]) -> Render:
    match look:
        case "clef":
            return clef(clock)
        case "journal":
            return prefixed(clef(clock))
        case "journal-console":
            return prefixed(console(colour=False, clock=None))
        case _:
            return console(colour=look == "colour", clock=clock)


def _sentence(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # its arguments do not fit its text: say what there is
        return f"{record.msg} {record.args!r}"


class _Handler(logging.Handler):
    def __init__(self, listener: LogListener) -> None:
        super().__init__()
        self._listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record on."""
        self._listener.foreign(record)


@contextmanager
def foreign_logs(listener: LogListener) -> Iterator[None]:
    """While it is open, `logging` (asyncio's and libraries' too) and warnings go to `listener`."""
    root, handler = logging.getLogger(), _Handler(listener)
    before, level = list(root.handlers), root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level)
