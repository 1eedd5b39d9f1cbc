"""New tasks, alone and many at once, and the keys that make asking twice harmless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from taskhub.keys import Existing
from taskhub.model import EventType
from taskhub.ports import (
    Create,
    Created,
    CreatedMany,
    CreateMany,
    Forward,
    NoParent,
    Refused,
    Stale,
    Touched,
)
from taskhub.store.steps import following, keys
from taskhub.store.steps.batch import Batch, Kinds, apply, commit
from taskhub.store.steps.rows import Row, new_row


def create(batch: Batch, group: Sequence[tuple[int, Create]]) -> None:
    """Store every task whose keys are new (or that has none); one key makes one task."""
    fresh = keys.fresh(batch, group) if any(_is_bound(write) for _, write in group) else group
    items = [write.item for _, write in fresh]
    rows = [_row(write) for _, write in fresh]
    batch.insert("create", rows)
    batch.results.update((place, Created(write.item)) for place, write in fresh)
    batch.tell_new([write for _, write in fresh])
    if held := [item for item in items if item.after]:
        following.hold(batch, held)


def _is_bound(write: Create) -> bool:
    """Whether it depends on what there is already."""
    return write.key is not None or write.unique is not None or bool(write.item.after)


def _row(write: Create) -> Row:
    unique = None if write.unique is None else write.unique.key
    return new_row(write.item, write.trace_parent, unique)


def create_many(batch: Batch, group: Sequence[tuple[int, CreateMany]]) -> None:
    """Store what each of these asks for, unless its key is known."""
    for place, write in group:
        known = None if write.key is None else keys.answered(batch, write.key)
        batch.results[place] = _made(batch, write) if known is None else known


def _made(batch: Batch, write: CreateMany) -> CreatedMany | NoParent:
    results = _all(batch, write.creates) if write.is_atomic else _each(batch, write.creates)
    if isinstance(results, NoParent):
        return results
    made = CreatedMany(results)
    if write.key is not None:
        first = next((result.item.id for result in results if isinstance(result, Created)), "")
        keys.keep(batch, write.key, first, made)
    return made


Outcome = Created | Existing | NoParent | Refused
ALONE: Kinds = {Create: create}


def _all(batch: Batch, creates: Sequence[Create]) -> list[Outcome] | NoParent:
    """Store all of them; what one cannot stand spoils the batch, and then the whole is refused."""
    inner, transaction = batch.beside(), batch.transaction
    transaction.mark("all_of_them")
    apply(inner, ALONE, list(enumerate(creates)))
    results = [inner.results[place] for place in range(len(creates))]
    refusals = [result for result in results if isinstance(result, NoParent)]
    if refusals:
        transaction.undo("all_of_them")
    transaction.forget("all_of_them")
    if refusals:
        ids = dict.fromkeys(one for refusal in refusals for one in refusal.ids)
        return NoParent(list(ids), refusals[0].are_full)
    batch.events += inner.events
    return cast("list[Outcome]", results)


def _each(batch: Batch, creates: Sequence[Create]) -> list[Outcome]:
    """Store those that can be stored."""
    done = commit(batch.beside(), ALONE, creates)
    batch.events += done.events
    return cast("list[Outcome]", done.results)


def forward(batch: Batch, group: Sequence[tuple[int, Forward]]) -> None:
    """Move cursors from where they are thought to be, and make the tasks only where they moved."""
    for place, write in group:
        statement = "follow" if write.after is None else "forward"
        values = {"name": write.webhook, "after": write.after, "through": write.through}
        if not batch.change(statement, values):
            batch.results[place] = Stale()
            continue
        rows = [new_row(item, None) for item in write.items]
        batch.insert("create", rows)
        batch.tell(EventType.CREATED, [(item.id, item.title) for item in write.items])
        batch.results[place] = Touched(len(rows))
