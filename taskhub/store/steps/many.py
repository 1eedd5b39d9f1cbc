"""Acts on many tasks: one statement for each write, and its entry of the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskhub.bulk import Act, Acted, Bulk, entry
from taskhub.model import EventType, Status
from taskhub.store.steps import acts, following
from taskhub.store.steps.batch import Batch
from taskhub.store.steps.rows import json

TOLD: Mapping[Act, EventType] = {
    Act.CANCEL: EventType.CANCELLED,
    Act.RETRY: EventType.RETRYING,
}


def bulk(batch: Batch, group: Sequence[tuple[int, Bulk]]) -> None:
    """One write after the other: each sees what those before it have changed."""
    for place, write in group:
        acted = _done(batch, write)
        if write.audit is not None:
            acts.audit(batch, [(place, entry(write.act, acted, write.audit))])
        batch.results[place] = acted
        following.settle(batch)


def _done(batch: Batch, write: Bulk) -> Acted:
    ids = list(dict.fromkeys(write.ids))
    rows = batch.ask(f"{write.act}_many", {"ids": json(ids), "now": batch.now.micros})
    moved = [row for row in rows if row[2] != Status.PROCESSING.value]
    if write.act is Act.RETRY:
        following.hold_again(batch, [row[0] for row in rows])
    if (kind := TOLD.get(write.act)) is not None:
        batch.tell(kind, [row[:2] for row in moved])
    return Acted(len(rows), len(ids) - len(rows), len(rows) - len(moved))
