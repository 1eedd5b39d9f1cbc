"""Why a task does or does not run, in words: from the circumstances to an answer; no store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from taskhub.model import Owner, Status, TaskId, TaskItem
from taskhub.queues import AHEAD_MOST, Circumstances, QueueLimit
from taskhub.rates import Rate
from taskhub.registration import SILENT_AFTER

Cause = Literal[
    "ended",
    "leaseHeld",
    "unknownType",
    "typePaused",
    "queuePaused",
    "waitsFor",
    "scheduled",
    "retryBackoff",
    "limitReached",
    "noWorker",
    "waitingForSlot",
]

SHOWN = 5
"""Tasks that are named, at most."""

PATIENCE = timedelta(seconds=3)
"""A due task that is the first of all and waits longer, while nothing runs, has no worker."""


LISTED = 3
"""So many of the tasks that it waits for are named."""


class Reason(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One cause, in words too. `until`: when it passes by itself, where that is known.

    `position`: how many of its type and queue are handed out before it, and itself. `holder`: the
    process that runs it. `key`: whose limit is reached; `heldBy`: tasks of it that run.
    """

    cause: Cause
    text: str
    until: datetime | None = None
    position: int | None = None
    holder: str | None = None
    key: str | None = None
    held_by: Sequence[TaskId] = ()


class Why(msgspec.Struct, frozen=True):
    """Everything that keeps a task as it is; the first reason is the one to look at first."""

    id: TaskId
    status: Status
    reasons: list[Reason]


def why(found: Circumstances, now: datetime, limit: QueueLimit | None = None) -> Why:
    """The answer for a task as it is `now`; `limit` is that of its queue."""
    item = found.item
    if item.status.is_final:
        reasons = [_ended(item)]
    elif item.status is Status.PROCESSING:
        reasons = [_held(found, now)]
    else:
        reasons = list(_waits(found, now, limit))
    return Why(item.id, item.status, reasons)


def _ended(item: TaskItem) -> Reason:
    again = "" if item.status is Status.DONE else "; `retry` lets it begin anew"
    text = f"It has ended as {item.status} {_on_attempt(item)}{again}."
    return Reason(cause="ended", text=text)


def _on_attempt(item: TaskItem) -> str:
    if not item.attempts:
        return "before it was started"
    return f"on attempt {item.attempts} of {item.max_attempts}"


def _held(found: Circumstances, now: datetime) -> Reason:
    holder = _name(found.owner)
    until = now + timedelta(seconds=found.lease_left)
    if found.lease_left <= 0:
        text = f"{holder} held it until {_at(until)} and is lost: it is about to be freed."
    elif found.item.cancel_requested:
        text = f"{holder} runs it and was asked to stop it; its lease ends at {_at(until)}."
    else:
        text = f"{holder} runs it, {_on_attempt(found.item)}; its lease ends at {_at(until)}"
        text += " unless it is renewed."
    return Reason(cause="leaseHeld", text=text, until=until, holder=holder)


def _waits(found: Circumstances, now: datetime, limit: QueueLimit | None) -> Iterator[Reason]:
    item = found.item
    if not found.type_known:
        text = f"No worker has registered the type {item.type}."
        yield Reason(cause="unknownType", text=text)
    if found.type_paused:
        yield Reason(cause="typePaused", text=f"The type {item.type} is paused.")
    if found.queue_paused:
        yield Reason(cause="queuePaused", text=f"The queue {item.queue} is paused.")
    if found.waits_for:
        yield Reason(cause="waitsFor", text=_parents(found.waits_for))
    elif item.run_at > now:
        yield _later(item)
    elif found.type_known and not (found.type_paused or found.queue_paused):
        reached = list(_reached(found, limit)) if limit else []
        yield from reached or [_due(found, now)]


def _parents(ids: Sequence[TaskId]) -> str:
    listed = ", ".join(ids[:LISTED])
    count = "1 task" if len(ids) == 1 else f"{len(ids)} tasks"
    more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    return f"It waits for {count} to end: {listed}{more}."


def _later(item: TaskItem) -> Reason:
    if item.attempts:
        text = f"Attempt {item.attempts} of {item.max_attempts} has failed"
        text += f"; the next one begins at {_at(item.run_at)}."
        return Reason(cause="retryBackoff", text=text, until=item.run_at)
    text = f"It is scheduled for {_at(item.run_at)}."
    return Reason(cause="scheduled", text=text, until=item.run_at)


def _reached(found: Circumstances, limit: QueueLimit) -> Iterator[Reason]:
    """Every limit of the queue that is reached."""
    queue, key = found.item.queue, found.item.group_key
    if limit.concurrency is not None and found.in_queue >= limit.concurrency:
        yield _bounded(f"The queue {queue} runs {limit.concurrency} at once, and so many run.")
    if limit.rate is not None and found.started >= limit.rate.limit:
        yield _bounded(f"The queue {queue} begins {_rate(limit.rate)}, and so many have begun.")
    if key is None:
        return
    if limit.key_concurrency is not None and len(found.of_key) >= limit.key_concurrency:
        text = f"The queue {queue} runs {limit.key_concurrency} of a key at once; of {key} run: "
        more = f" and {len(found.of_key) - SHOWN} more" if len(found.of_key) > SHOWN else ""
        text += ", ".join(found.of_key[:SHOWN]) + more + "."
        yield Reason(cause="limitReached", text=text, key=key, held_by=found.of_key[:SHOWN])
    if limit.key_rate is not None and found.key_started >= limit.key_rate.limit:
        text = f"The queue {queue} begins {_rate(limit.key_rate)} of a key, and so many of {key}"
        yield Reason(cause="limitReached", text=f"{text} have begun.", key=key)


def _bounded(text: str) -> Reason:
    return Reason(cause="limitReached", text=text)


def _rate(rate: Rate) -> str:
    return f"{rate.limit:,} in {rate.seconds:,} s"


def _due(found: Circumstances, now: datetime) -> Reason:
    item = found.item
    seen = found.type_seen
    if seen is not None and now - seen >= SILENT_AFTER:
        text = f"No worker does the type {item.type}: the last one was there at {_at(seen)}."
        return Reason(cause="noWorker", text=text)
    waited = now - max(item.run_at, item.updated_at)
    if waited >= PATIENCE and not found.running:
        text = f"It has been due for {waited.total_seconds():.0f} s and nothing runs anywhere: "
        text += f"no worker that knows the type {item.type} serves the queue {item.queue}."
        return Reason(cause="noWorker", text=text)
    position = found.ahead + 1
    place = f"more than {AHEAD_MOST:,} are" if found.ahead >= AHEAD_MOST else f"{found.ahead} are"
    text = f"It is due and waits for a free slot: {place} before it, {_tasks(found.running)}."
    if found.suspect:
        text = f"It may have killed its worker and must run alone: {_tasks(found.running)}."
    return Reason(cause="waitingForSlot", text=text, position=position)


def _name(owner: Owner | None) -> str:
    """The process alone: its machine's boot id is nobody's business."""
    _, _, rest = (owner or "").partition("/")
    return rest.partition("/")[0] or "a worker"


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _tasks(count: int) -> str:
    return "1 task runs" if count == 1 else f"{count:,} tasks run"
