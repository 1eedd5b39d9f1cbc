"""What handlers leave behind: outcomes and progress, each guarded by the fence."""

from __future__ import annotations

from collections.abc import Sequence

from taskhub.failures import KEPT, Cause
from taskhub.model import EventType, Status, TaskId, micros_from_utc
from taskhub.ports import Finish, Finished, Progress, Stale
from taskhub.store.steps.batch import ENDS, Batch
from taskhub.store.steps.keys import keep
from taskhub.store.steps.rows import STATUS, clean, json, saying, text_of

Places = dict[tuple[TaskId, int], int]
"""Which write of the batch ends which attempt."""

Shape = tuple[str, bool, bool]
"""What all outcomes of one statement have in common: status, refund, suspect."""

Ended = tuple[TaskId, int, str | None, str | None, int | None, str | None, int | None]
"""One outcome: id, fence, result, error, when it is due again, fingerprint, end of the result."""

FAILURES = (Status.PENDING, Status.FAILED)
"""How an attempt ends that has failed, unless it is given back."""

STALE, UNKNOWN = Stale(), Cause("", "")
ENDED = {end: Finished(STATUS[end]) for end in ENDS}


def finish(batch: Batch, group: Sequence[tuple[int, Finish]]) -> None:
    """Write outcomes, a statement for each shape; of two for one attempt the first counts."""
    first: Places = {}
    shapes: dict[Shape, list[Ended]] = {}
    failures: list[Finish] = []
    for place, write in group:
        if first.setdefault((write.id, write.fence), place) == place:
            shape = (write.status._value_, write.refund, write.suspect)
            shapes.setdefault(shape, []).append(_ended(write))
            if write.status in FAILURES and not write.refund:
                failures.append(write)
    batch.results.update((place, STALE) for place, _ in group)
    if failures:
        _keep(batch, failures)
    for shape, ended in shapes.items():
        _finish(batch, shape, ended, first)
    for place, write in group:
        if write.key is not None and isinstance(result := batch.results[place], Finished):
            keep(batch, write.key, write.id, result)


def _ended(write: Finish) -> Ended:
    run_at = None if write.run_at is None else micros_from_utc(write.run_at)
    mark = None if write.cause is None else write.cause.fingerprint
    until = None if write.result_until is None else micros_from_utc(write.result_until)
    return write.id, write.fence, text_of(write.result), clean(write.error), run_at, mark, until


def _keep(batch: Batch, failures: Sequence[Finish]) -> None:
    """Add to what the tasks have been through."""
    rows = [_failed(write) for write in failures]
    batch.change("failed", {"failed": json(rows), "now": batch.now.micros, "kept": KEPT})
    if traced := [row for row in rows if row[-1]]:
        batch.change("drop_traces", {"failed": json(traced)})


def _failed(write: Finish) -> tuple[object, ...]:
    """A failure as the statement `failed` takes it."""
    cause = write.cause or UNKNOWN
    words = (cause.exception, cause.place, cause.trace)
    known = [clean(word) or None for word in words]
    return (write.id, write.fence, clean(write.error), cause.fingerprint, *known)


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
    said = {row[0]: saying(row[3], row[5]) for row in ended if row[3] is not None}
    for end, finished in ENDED.items():
        reached = [row for row in rows if row[2] == end]
        batch.results.update((places[row[0], row[1]], finished) for row in reached)
        batch.tell_ends(end, [(row[0], row[3]) for row in reached], said)


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
