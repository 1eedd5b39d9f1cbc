"""Pausing queues and types, and reading how they stand; it hands nothing out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from taskhub.model import Owner, TaskId, utc_from_micros
from taskhub.ports import Missing, QueueCount, Touched
from taskhub.queues import AHEAD_MOST, Circumstances, Line, Pause, QueueLimit, QueueState
from taskhub.store.steps import acts
from taskhub.store.steps.batch import PAUSES, Batch
from taskhub.store.steps.claiming import since_of
from taskhub.store.steps.clock import Moment
from taskhub.store.steps.rows import SUSPECT, Row, task_of

AROUND = 13
"""Columns behind those of the task."""


def pause(batch: Batch, group: Sequence[tuple[int, Pause]]) -> None:
    """Pause or resume, one after the other; the audit log has what was changed.

    No claim that did not see it is committed after it.
    """
    batch.transaction.apart(PAUSES)
    for place, write in group:
        verb = "pause" if write.paused else "resume"
        values = {"name": write.name, "now": batch.now.micros, "by": write.audit.actor}
        changed = batch.change(f"{verb}_{write.line}", values)
        if changed:
            acts.audit(batch, [(place, write.audit)])
        is_missing = (
            not changed
            and write.line is Line.TYPE
            and not batch.ask("type_standing", {"name": write.name})
        )
        batch.results[place] = Missing() if is_missing else Touched(changed)


def states(pauses: Sequence[Row], counts: Sequence[QueueCount]) -> list[QueueState]:
    """Every queue that is paused or has live tasks, by name."""
    paused = {name for name, is_paused in pauses if is_paused}
    found: dict[str, dict[str, QueueCount]] = {name: {} for name in paused}
    for count in counts:
        found.setdefault(count.queue, {})[count.status] = count
    return [_state(name, name in paused, found[name]) for name in sorted(found)]


def _state(name: str, paused: bool, counts: Mapping[str, QueueCount]) -> QueueState:  # noqa: FBT001 - a member of the answer
    waits, runs = counts.get("Pending"), counts.get("Processing")
    return QueueState(
        name=name,
        paused=paused,
        pending=waits.count if waits else 0,
        processing=runs.count if runs else 0,
        oldest_seconds=waits.oldest if waits else 0.0,
    )


def asked(id_: str, now: Moment, limit: QueueLimit | None) -> dict[str, object]:
    """What the statement `circumstances` takes."""
    rates = (None, None) if limit is None else (limit.rate, limit.key_rate)
    since, key_since = (
        now.micros if rate is None else since_of(rate, now.micros) for rate in rates
    )
    values = {"id": id_, "now": now.micros, "most": AHEAD_MOST}
    return values | {"since": since, "key_since": key_since}


def circumstances_of(row: Row, now: Moment) -> Circumstances:
    """What a row of the statement `circumstances` says."""
    suspect, owner, until, queue_paused, type_paused, seen, *rest = row[-AROUND:]
    ahead, running, in_queue, of_key, started, key_started, parents = rest
    return Circumstances(
        item=task_of(row[:-AROUND]),
        suspect=suspect == SUSPECT,
        owner=None if owner is None else Owner(owner),
        lease_left=0.0 if until is None else until - now.boottime,
        queue_paused=bool(queue_paused),
        type_known=type_paused is not None,
        type_paused=bool(type_paused),
        type_seen=None if seen is None else utc_from_micros(seen),
        ahead=min(ahead, AHEAD_MOST),
        running=running,
        in_queue=in_queue,
        of_key=msgspec.json.decode(of_key, type=list[TaskId]),
        started=started,
        key_started=key_started,
        waits_for=msgspec.json.decode(parents, type=tuple[TaskId, ...]),
    )
