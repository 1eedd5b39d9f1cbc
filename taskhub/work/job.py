"""What a handler is given beside its payload: the task, its limits, a log, its progress."""

from __future__ import annotations

import math
from typing import Any, Protocol

import msgspec

from taskhub.model import Parent, TaskItem, trace_id_of
from taskhub.obs.telemetry import HandlerSaid, Level, Telemetry
from taskhub.work.attempt import Attempt

TEXT_LIMIT = 4_000
FIELD_LIMIT = 1_000
FIELDS_LIMIT = 32
PROGRESS_TEXT_LIMIT = 200
PROGRESS_DATA_LIMIT = 4_096


class Host(Protocol):
    """What runs the handler; every method may be called from any thread."""

    def now(self) -> float:
        """The clock of deadlines, in seconds."""

    def tell(self, event: Telemetry) -> None:
        """Hand a log event on."""

    def progressed(self, attempt: Attempt, report: bytes) -> None:
        """Keep this as the attempt's latest progress (JSON)."""


class JobLog:
    """`job.log.info("resized", width=640)`: a line with TaskId, Attempt and fields of its own."""

    __slots__ = ("_attempt", "_host")

    def __init__(self, attempt: Attempt, host: Host) -> None:
        self._attempt, self._host = attempt, host

    def debug(self, text: str, **fields: object) -> None:
        """For whoever looks for a mistake."""
        self._say(Level.DEBUG, text, fields)

    def info(self, text: str, **fields: object) -> None:
        """What happened."""
        self._say(Level.INFO, text, fields)

    def warning(self, text: str, **fields: object) -> None:
        """Something to look at."""
        self._say(Level.WARNING, text, fields)

    def error(self, text: str, **fields: object) -> None:
        """Something went wrong."""
        self._say(Level.ERROR, text, fields)

    def _say(self, severity: Level, text: str, fields: dict[str, object]) -> None:
        self._host.tell(
            HandlerSaid(
                task_id=self._attempt.id,
                attempt=self._attempt.number,
                severity=severity.value,
                text=str(text)[:TEXT_LIMIT],
                fields=_bounded(fields),
                trace_id=trace_id_of(self._attempt.lease.trace_parent),
            )
        )


class Job:
    """The context of one attempt; may be used from any thread while the handler runs."""

    __slots__ = ("_attempt", "_host")

    def __init__(self, attempt: Attempt, host: Host) -> None:
        self._attempt, self._host = attempt, host

    @property
    def task(self) -> TaskItem:
        """The task as it was when it was claimed."""
        return self._attempt.lease.item

    @property
    def parents(self) -> tuple[Parent, ...]:
        """The tasks that this one is after, with their results; as they were at the claim."""
        return self._attempt.lease.parents

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._attempt.number

    @property
    def fence(self) -> int:
        """Grows with each claim: pass it to other systems, so that they can refuse a late one."""
        return self._attempt.lease.fence

    @property
    def trace_parent(self) -> str | None:
        """The W3C `traceparent` that came with the task, for what is asked on its behalf."""
        return self._attempt.lease.trace_parent

    @property
    def deadline(self) -> float:
        """When the handler is stopped, in seconds of `time.monotonic()`."""
        return self._attempt.deadline

    @property
    def remaining(self) -> float:
        """Seconds left until the deadline; 0 when it has passed."""
        return max(0.0, self._attempt.deadline - self._host.now())

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop; a `def` that runs long must look now and then."""
        return self._attempt.reason is not None

    @property
    def log(self) -> JobLog:
        """The task's own log."""
        return JobLog(self._attempt, self._host)

    def progress(self, fraction: float, text: str = "", data: object = None) -> None:
        """Tell how far the work is: `fraction` from 0 to 1, and up to 200 characters of text.

        `data` is for the attempt after this one, which finds it in `saved`: anything that is JSON,
        up to 4,096 bytes. Cheap, never waits: of many calls in a second the latest is kept, whole.
        Raises ValueError when `fraction` is no number or `data` cannot be kept.
        """
        if not math.isfinite(fraction):
            raise ValueError("progress: the fraction must be a number from 0 to 1")
        bounded = min(1.0, max(0.0, float(fraction)))
        report: dict[str, object] = {"fraction": bounded, "text": str(text)[:PROGRESS_TEXT_LIMIT]}
        if data is not None:
            report["data"] = _kept(data)
        self._host.progressed(self._attempt, msgspec.json.encode(report))

    @property
    def saved(self) -> Any:
        """The `data` of the last progress that an earlier attempt told; None: there is none."""
        told = self.task.progress
        report = None if told is None else msgspec.json.decode(told)
        return report.get("data") if isinstance(report, dict) else None


def _kept(data: object) -> msgspec.Raw:
    try:
        text = msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("progress: the data cannot be written as JSON") from error
    if len(text) > PROGRESS_DATA_LIMIT:
        raise ValueError(f"progress: the data has more than {PROGRESS_DATA_LIMIT:,} bytes of JSON")
    return msgspec.Raw(text)


def _bounded(fields: dict[str, object]) -> dict[str, str]:
    kept = list(fields.items())[:FIELDS_LIMIT]
    return {name: str(value)[:FIELD_LIMIT] for name, value in kept}
