"""Acts on single tasks, and what is kept beside them: audit, types, and the end of old rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from taskhub.audit import Audit
from taskhub.model import EventType, Status, TaskId, TaskItem, micros_from_utc
from taskhub.ports import (
    Cancel,
    Changed,
    Missing,
    Prune,
    Pruned,
    Register,
    Requeue,
    Touched,
    Unchanged,
)
from taskhub.registration import Forget, Seen
from taskhub.store.steps import following
from taskhub.store.steps.batch import Batch
from taskhub.store.steps.ids import first_id_at
from taskhub.store.steps.rows import json, task_of

DAY = 86_400 * 1_000_000
"""In microseconds: whose turn it was is kept for one, and no rate looks back longer."""


def cancel(batch: Batch, group: Sequence[tuple[int, Cancel]]) -> None:
    """End what is Pending, flag what is Processing (flagging twice changes nothing more)."""
    changed = _act(batch, "cancel", group, repeatable=Status.PROCESSING)
    ended = [(item.id, item.title) for item in changed if item.status is Status.CANCELLED]
    batch.tell(EventType.CANCELLED, ended)


def requeue(batch: Batch, group: Sequence[tuple[int, Requeue]]) -> None:
    """Let what has failed or was cancelled begin anew."""
    changed = _act(batch, "requeue", group, repeatable=None)
    following.hold_again(batch, [item.id for item in changed])
    batch.tell(EventType.RETRYING, [(item.id, item.title) for item in changed])


def _act(
    batch: Batch,
    statement: str,
    group: Sequence[tuple[int, Cancel | Requeue]],
    repeatable: Status | None,
) -> list[TaskItem]:
    """Change the rows that allow it; a second act of the batch on one row sees the first."""
    ids = list(dict.fromkeys(write.id for _, write in group))
    values = {"ids": json(ids), "now": batch.now.micros}
    changed = {row[0]: task_of(row) for row in batch.ask(statement, values)}
    others = _others(batch, [task for task in ids if task not in changed])
    seen: set[TaskId] = set()
    for place, write in group:
        if item := changed.get(write.id):
            again = write.id in seen and item.status is not repeatable
            batch.results[place] = Unchanged(item) if again else Changed(item)
            seen.add(write.id)
        else:
            item = others.get(write.id)
            batch.results[place] = Missing() if item is None else Unchanged(item)
    return list(changed.values())


def _others(batch: Batch, ids: Sequence[TaskId]) -> dict[TaskId, TaskItem]:
    rows = batch.ask("get", {"ids": json(ids)}) if ids else []
    return {row[0]: task_of(row) for row in rows}


def audit(batch: Batch, group: Sequence[tuple[int, Audit]]) -> None:
    """Append to the audit log."""
    now = batch.now.micros
    rows = [
        (now, write.message, write.actor, write.task_id, write.address, write.request_id)
        for _, write in group
    ]
    batch.each("audit", rows)
    batch.results.update((place, Touched(1)) for place, _ in group)


def register(batch: Batch, group: Sequence[tuple[int, Register]]) -> None:
    """Make types known; what is known already is not written again."""
    now = batch.now.micros
    for place, write in group:
        rows = [
            (info.name, json(info.schema), info.registered_by, now, now) for info in write.types
        ]
        batch.results[place] = Touched(batch.each("register", rows))


def seen(batch: Batch, group: Sequence[tuple[int, Seen]]) -> None:
    """Keep that workers do these types now."""
    for place, write in group:
        values = {"now": batch.now.micros, "names": json(write.types)}
        batch.results[place] = Touched(batch.change("seen", values))


def forget(batch: Batch, group: Sequence[tuple[int, Forget]]) -> None:
    """Take types away."""
    for place, write in group:
        batch.results[place] = Touched(batch.change("forget", {"name": write.name}))


def prune(batch: Batch, group: Sequence[tuple[int, Prune]]) -> None:
    """Delete what is old enough, a limited number of rows at a time."""
    for place, write in group:
        _forget_turns(batch, write.limit)
        batch.results[place] = Pruned(
            tasks=_delete(batch, "prune_tasks", write.tasks_before, write.limit),
            keys=_delete(batch, "prune_keys", None, write.limit),
            unique_keys=_delete(batch, "prune_unique_keys", None, write.limit),
            events=_delete(batch, "prune_events", write.events_before, write.limit),
            audit=_delete(batch, "prune_audit", write.audit_before, write.limit),
            runs=_delete(batch, "prune_runs", write.tasks_before, write.limit),
            results=_delete(batch, "expire_results", None, write.limit),
        )


def _forget_turns(batch: Batch, limit: int) -> None:
    """What only claims of the last days need."""
    batch.change("prune_turns", {"before": batch.now.micros - DAY, "limit": limit})
    batch.change("prune_starts", {"before": batch.now.micros - 2 * DAY, "limit": limit})


def _delete(batch: Batch, statement: str, before: datetime | None, limit: int) -> int:
    """Delete the oldest that are from before this time; those that say themselves when, by now."""
    now = batch.now.micros
    micros = now if before is None else micros_from_utc(before)
    values = {"before": micros, "before_id": first_id_at(micros, later=True)}
    return batch.change(statement, values | {"now": now, "limit": limit})
