"""What handlers leave behind: outcomes and progress, each guarded by the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskhub.model import EventType, Status, TaskId, micros_from_utc
from taskhub.ports import Finish, Finished, Progress, Stale
from taskhub.store.sqlite.batch import Batch
from taskhub.store.sqlite.rows import STATUS, clean, json, text_of

Shape = tuple[Status, bool, bool]
"""What all outcomes of one statement have in common: status, refund, suspect."""

Ended = tuple[TaskId, int, str | None, str | None, int | None]
"""One outcome: id, fence, result, error, when it is due again."""

STALE = Stale()


def finish(batch: Batch, group: Sequence[tuple[int, Finish]]) -> None:
    """Write outcomes, a statement for each shape; of two for one attempt the first counts."""
    first: dict[tuple[TaskId, int], int] = {}
    shapes: dict[Shape, list[Ended]] = {}
    for place, write in group:
        batch.results[place] = STALE
        if first.setdefault((write.id, write.fence), place) == place:
            shape = (write.status, write.refund, write.suspect)
            shapes.setdefault(shape, []).append(_ended(write))
    for shape, ended in shapes.items():
        _finish(batch, shape, ended, first)


def _ended(write: Finish) -> Ended:
    run_at = None if write.run_at is None else micros_from_utc(write.run_at)
    return write.id, write.fence, text_of(write.result), clean(write.error), run_at


def _finish(
    batch: Batch, shape: Shape, ended: Sequence[Ended], places: Mapping[tuple[TaskId, int], int]
) -> None:
    status, refund, suspect = shape
    values = {
        "status": status.value,
        "refund": int(refund),
        "suspect": int(suspect),
        "ended": json(ended),
        "now": batch.now.micros,
    }
    rows = batch.ask("finish", values)
    finished = {now: Finished(STATUS[now]) for now in {row[2] for row in rows}}
    for task, fence, now, _ in rows:
        batch.results[places[task, fence]] = finished[now]
    errors = {task: error for task, _, _, error, _ in ended if error is not None}
    batch.tell_ends([(task, now, title, errors.get(task)) for task, _, now, title in rows])


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
