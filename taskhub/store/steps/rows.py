"""Rows to tasks and back, by position and cheaply; claim.sql has the columns in the same order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from taskhub.backoff import Backoff
from taskhub.failures import AttemptEnd, PastAttempt, worker_of
from taskhub.model import (
    EventType,
    Lease,
    OnParentFailure,
    PastEvent,
    Status,
    TaskId,
    TaskItem,
    TypeInfo,
    micros_from_utc,
    utc_from_micros,
)
from taskhub.registration import Registration

STATUS = {status.value: status for status in Status}
TYPE = {type_.value: type_ for type_ in EventType}
ERROR_LIMIT = 4_000  # characters of an error that are kept
SUSPECT, IN_TURN = 1, 2
"""In the column Suspect: it is one; it is none, and waits for the turn of its key."""

Row = tuple[Any, ...]

_json = msgspec.json.Encoder()


def json(value: object) -> str:
    """A value as one JSON parameter of a statement."""
    return _json.encode(value).decode()


def task_of(row: Row) -> TaskItem:
    """The task that a row of the `task` columns holds."""
    created, updated, run, started, finished = row[10:15]
    made = utc_from_micros(created)
    after, policy = _after(row[24])
    return TaskItem(
        id=row[0],
        title=row[1],
        type=row[2],
        queue=row[3],
        priority=row[4],
        status=STATUS[row[5]],
        attempts=row[6],
        max_attempts=row[7],
        timeout_seconds=float(row[8]),  # RETURNING gives a whole number as an int
        cancel_requested=bool(row[9]),
        created_at=made,
        updated_at=made if updated == created else utc_from_micros(updated),
        run_at=made if run == created else utc_from_micros(run),
        started_at=None if started is None else utc_from_micros(started),
        finished_at=None if finished is None else utc_from_micros(finished),
        created_by=row[15],
        error=row[16],
        progress=raw_of(row[17]),
        payload=msgspec.Raw(row[18]),
        result=raw_of(row[19]),
        backoff=None if row[20] is None else _backoff(row[20]),
        fingerprint=row[21] or None,
        result_expires_at=None if row[22] is None else utc_from_micros(row[22]),
        group_key=row[23],
        after=after,
        on_parent_failure=policy,
    )


def event_of(row: Row) -> PastEvent:
    """The event that a row of the `event` columns holds."""
    seq, type_, task, at, title, kind, queue, data = row[:8]
    return PastEvent(seq, TYPE[type_], task, utc_from_micros(at), title, kind, queue, data)


def attempt_of(row: Row) -> PastAttempt:
    """The failed attempt that a row of the statement `attempts` holds."""
    number, started, ended, worker, error, mark, exception, place, trace = row
    return PastAttempt(
        attempt=number,
        end=AttemptEnd.FAILED,
        started_at=None if started is None else utc_from_micros(started),
        ended_at=utc_from_micros(ended),
        worker=None if worker is None else worker_of(worker),
        error=error,
        fingerprint=mark or None,
        exception=exception,
        place=place,
        trace=trace,
    )


def registration_of(row: Row) -> Registration:
    """The type that a row of `registrations` holds."""
    name, schema, by, registered, seen, waiting = row
    return Registration(
        info=TypeInfo(name, msgspec.json.decode(schema), by),
        registered_at=None if registered is None else utc_from_micros(registered),
        seen_at=None if seen is None else utc_from_micros(seen),
        waiting=waiting,
    )


def raw_of(text: str | None) -> msgspec.Raw | None:
    """JSON as it was kept."""
    return None if text is None else msgspec.Raw(text)


def _after(text: str | None) -> tuple[tuple[TaskId, ...], OnParentFailure | None]:
    """What the column `After` says: the policy, and ids."""
    if text is None:
        return (), None
    policy, *ids = text.split(" ")
    return tuple(map(TaskId, ids)), "continue" if policy == "continue" else "fail"


def after_text(item: TaskItem) -> str:
    """What the column `After` keeps of a task that is after others."""
    return " ".join([item.on_parent_failure or "fail", *item.after])


def saying(error: str, fingerprint: str | None) -> str:
    """What an event says of a failure."""
    return json({"error": error} | ({"fingerprint": fingerprint} if fingerprint else {}))


def _backoff(text: str) -> Backoff:
    return msgspec.json.decode(text, type=Backoff)


def lease_of(row: Row, now: datetime, *, suspect: bool) -> Lease:
    """The lease on a row of the `lease` columns, as a claim at `now` has left it."""
    created, run = row[9:11]
    made = utc_from_micros(created)
    after, policy = _after(row[20])
    item = TaskItem(
        id=row[1],
        title=row[2],
        type=row[3],
        queue=row[4],
        priority=row[5],
        status=Status.PROCESSING,
        attempts=row[6] + 1,
        max_attempts=row[7],
        timeout_seconds=row[8],
        cancel_requested=False,
        created_at=made,
        updated_at=now,
        run_at=made if run == created else utc_from_micros(run),
        started_at=now,
        finished_at=None,
        created_by=row[11],
        error=row[12],
        progress=raw_of(row[13]),
        payload=msgspec.Raw(row[14]),
        result=None,
        backoff=None if row[17] is None else _backoff(row[17]),
        fingerprint=row[18] or None,
        group_key=row[19],
        after=after,
        on_parent_failure=policy,
    )
    return Lease(item=item, fence=row[15] + 1, suspect=suspect, trace_parent=row[16])


def new_row(item: TaskItem, trace_parent: str | None, unique: str | None = None) -> Row:
    """What the statement `create` takes."""
    created = micros_from_utc(item.created_at)
    return (
        item.id,
        item.title,
        item.type,
        item.queue,
        item.priority,
        item.max_attempts,
        item.timeout_seconds,
        _micros(item.run_at, item.created_at, created),
        created,
        _micros(item.updated_at, item.created_at, created),
        item.created_by,
        unique,
        trace_parent,
        str(item.payload, "utf-8"),
        None if item.backoff is None else json(item.backoff),
        item.group_key,
        0 if item.group_key is None else IN_TURN,
    )


def _micros(moment: datetime, known: datetime, micros: int) -> int:
    return micros if moment is known else micros_from_utc(moment)


def text_of(data: bytes | None) -> str | None:
    """JSON as the column keeps it; raises UnicodeDecodeError when it is no UTF-8."""
    return None if data is None else data.decode()


def clean(error: str | None) -> str | None:
    """An error that any reader can stand: cut to a limit, and nothing that is no text."""
    if error is None:
        return None
    kept = error[:ERROR_LIMIT].replace("\0", "\ufffd")
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode()
