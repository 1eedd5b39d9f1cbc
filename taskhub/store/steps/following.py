"""Tasks that are after others: held back when they are made, let go or ended when those end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from taskhub.failures import PARENT_FAILED
from taskhub.model import (
    FOLLOWERS_MOST,
    RESULT_SHARED,
    RESULTS_SHARED,
    Child,
    Lease,
    Parent,
    Status,
    TaskId,
    TaskItem,
    utc_from_micros,
)
from taskhub.ports import Create, Followed, NoParent
from taskhub.store.steps.rows import STATUS, Row, after_text, json, raw_of, saying

if TYPE_CHECKING:
    from taskhub.store.steps.batch import Batch

FOLLOWING = (Status.FAILED, Status.CANCELLED)

DECIDED_MOST, ROUND = FOLLOWERS_MOST, 10
"""So many tasks are decided in one transaction; one more generation costs as much as so many."""
TAKEN_UP = 1_000
"""So many ends that were put off are looked at by one sweep."""


class Parents:
    """Which tasks new ones can be after: those that there are, and those made before them."""

    def __init__(self, batch: Batch, writes: Sequence[Create]) -> None:
        """Look for all that are named."""
        named = {parent for write in writes for parent in write.item.after}
        rows = batch.ask("standing", {"ids": json(list(named))}) if named else []
        self._there = {TaskId(row[0]) for row in rows}
        asked = {"ids": json(list(self._there)), "most": FOLLOWERS_MOST}
        self._full = {row[0] for row in batch.ask("full", asked)} if rows else set()
        self._moved: dict[TaskId, TaskId] = {}

    def met(self, asked: TaskItem, made: TaskItem) -> None:
        """A task was asked for, and this is what there is now."""
        self._there.add(made.id)
        if made.id != asked.id:
            self._moved[asked.id] = made.id

    def refusal(self, write: Create) -> NoParent | None:
        """Those that it cannot be after, if there are such."""
        named = {one: self._moved.get(one, one) for one in write.item.after}
        if missing := [one for one, found in named.items() if found not in self._there]:
            return NoParent(missing)
        full = [one for one, found in named.items() if found in self._full]
        return NoParent(full, are_full=True) if full else None

    def settled(self, write: Create) -> Create:
        """The write with those parents that there are."""
        if not self._moved or not write.item.after:
            return write
        moved = dict.fromkeys(self._moved.get(one, one) for one in write.item.after)
        return replace(write, item=replace(write.item, after=tuple(moved)))


def hold(batch: Batch, items: Sequence[TaskItem]) -> None:
    """Keep new tasks back until their parents have ended; some may have ended before."""
    held = [(item.id, after_text(item)) for item in items]
    batch.change("hold", {"held": json(held)})
    batch.each("wait", [row for item in items for row in _waits(item)])
    named = list({parent for item in items for parent in item.after})
    rows = batch.ask("standing", {"ids": json(named)})
    batch.ended += [(task, status) for task, status in rows if STATUS[status].is_final]


def _waits(item: TaskItem) -> list[Row]:
    return [(item.id, place, parent) for place, parent in enumerate(item.after)]


def settle(batch: Batch) -> None:
    """Decide what follows from the ends of this batch, and from what ends by that.

    What is too much for one transaction is put off in the same one.
    """
    room = DECIDED_MOST
    if batch.ended and not batch.ask("any_waits", {})[0][0]:
        batch.ended = []
    while batch.ended and room > 0:
        ended, batch.ended = batch.ended, []
        rows = batch.ask("close", {"ended": json(ended), "room": room})
        if rows:
            _follow(batch, sorted({row[0] for row in rows}))
        if len(rows) == room:
            batch.ended += ended
        room -= len(rows) + ROUND
    if batch.ended:
        batch.change("put_off", {"ended": json(batch.ended)})
        batch.ended = []


def take_up(batch: Batch) -> None:
    """Go on with what was put off."""
    batch.ended += batch.ask("take_up", {"most": TAKEN_UP})


def _follow(batch: Batch, heirs: Sequence[TaskId]) -> None:
    values = {"heirs": json(heirs), "now": batch.now.micros, "exception": PARENT_FAILED}
    rows = batch.ask("decide", values)
    counts = Counter(row[2] for row in rows)
    batch.followed += Followed(*(counts[status.value] for status in (Status.PENDING, *FOLLOWING)))
    for status in FOLLOWING:
        some = [row for row in rows if row[2] == status.value]
        said = {row[0]: saying(row[3], row[4] or None) for row in some}
        batch.tell_ends(status.value, [row[:2] for row in some], said)


def hold_again(batch: Batch, ids: Sequence[TaskId]) -> None:
    """Tasks begin anew: those of their parents that live come first."""
    if ids:
        values = {"ids": json(ids)}
        for name in ("forget_ends", "reopen", "hold_again"):
            batch.change(name, values)


def with_parents(batch: Batch, leases: Sequence[Lease]) -> list[Lease]:
    """The same leases; with those that have parents what these have made."""
    found: dict[TaskId, list[Parent]] = {lease.item.id: [] for lease in leases if lease.item.after}
    for row in batch.ask("parents", asked(list(found))):
        found[row[0]].append(parent_of(row))
    return [replace(lease, parents=tuple(found.get(lease.item.id, ()))) for lease in leases]


def asked(tasks: Sequence[TaskId]) -> dict[str, object]:
    """What the statement `parents` takes."""
    return {"tasks": json(tasks), "each": RESULT_SHARED, "all": RESULTS_SHARED}


def parent_of(row: Row) -> Parent:
    """What a row of the statement `parents` says."""
    _, id_, status, error, result, is_left_out = row
    return Parent(
        id=id_,
        status=None if status is None else STATUS[status],
        error=error,
        result=raw_of(result),
        result_left_out=bool(is_left_out),
    )


def child_of(row: Row) -> Child:
    """What a row of the statement `children` says."""
    id_, title, kind, queue, status, error, created, creator = row
    return Child(
        id=id_,
        title=title,
        type=kind,
        queue=queue,
        status=STATUS[status],
        error=error,
        created_at=utc_from_micros(created),
        created_by=creator,
    )
