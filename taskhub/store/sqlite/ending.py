"""What handlers leave behind: outcomes and progress, each guarded by the fence."""

from __future__ import annotations

from collections.abc import Sequence

from taskhub.model import EventType, Status, TaskId, micros_from_utc
from taskhub.ports import Finish, Finished, Progress, Stale
from taskhub.store.sqlite.batch import ENDS, Batch
from taskhub.store.sqlite.rows import STATUS, clean, json, text_of

Places = dict[tuple[TaskId, int], int]
"""Which write of the batch ends which attempt."""

Shape = tuple[str, bool, bool]
"""What all outcomes of one statement have in common: status, refund, suspect."""

Ended = tuple[TaskId, int, str | None, str | None, int | None]
"""One outcome: id, fence, result, error, when it is due again."""

STALE = Stale()
ENDED = {end: Finished(STATUS[end]) for end in ENDS}


def finish(batch: Batch, group: Sequence[tuple[int, Finish]]) -> None:
    """Write outcomes, a statement for each shape; of two for one attempt the first counts."""
    first: Places = {}
    shapes: dict[Shape, list[Ended]] = {}
    for place, write in group:
        if first.setdefault((write.id, write.fence), place) == place:
            shape = (write.status._value_, write.refund, write.suspect)
            shapes.setdefault(shape, []).append(_ended(write))
    batch.results.update((place, STALE) for place, _ in group)
    for shape, ended in shapes.items():
        _finish(batch, shape, ended, first)


def _ended(write: Finish) -> Ended:
    run_at = None if write.run_at is None else micros_from_utc(write.run_at)
    return write.id, write.fence, text_of(write.result), clean(write.error), run_at


def _finish(batch: Batch, shape: Shape, ended: Sequence[Ended], places: Places) -> None:
    status, refund, suspect = shape
    values = {
        "status": status,
        "refund": int(refund),
        "suspect": int(suspect),
        "ended": json(ended),
        "now": batch.now.micros,
    }
    rows = batch.ask("finish", values)
    errors = {task: error for task, _, _, error, _ in ended if error is not None}
    for end, finished in ENDED.items():
        reached = [row for row in rows if row[2] == end]
        batch.results.update((places[row[0], row[1]], finished) for row in reached)
        batch.tell_ends(end, [(row[0], row[3]) for row in reached], errors)


def progress(batch: Batch, group: Sequence[tuple[int, Progress]]) -> None:
    """Keep the last word of each attempt."""
    news = {(write.id, write.fence): text_of(write.data) for _, write in group}
    listed = json([(task, fence, text) for (task, fence), text in news.items()])
    rows = batch.ask("progress", {"news": listed, "now": batch.now.micros})
    held = {(task, fence) for task, fence, _, _ in rows}
    for place, write in group:
        kept = (write.id, write.fence) in held
        batch.results[place] = Finished(Status.PROCESSING) if kept else STALE
    batch.tell_more(EventType.PROGRESS, [(task, title, text) for task, _, title, text in rows])
