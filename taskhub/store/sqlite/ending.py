"""What handlers leave behind: outcomes and progress, each guarded by the fence."""

from __future__ import annotations

from collections.abc import Sequence

from taskhub.model import EventType, Status, TaskId, micros_from_utc
from taskhub.ports import Finish, Finished, Progress, Stale
from taskhub.store.sqlite.batch import ENDS, Batch
from taskhub.store.sqlite.rows import STATUS, clean, json, text_of

STALE = Stale()


def finish(batch: Batch, group: Sequence[tuple[int, Finish]]) -> None:
    """Write outcomes; of two for one attempt the first counts."""
    first: dict[tuple[TaskId, int], int] = {}
    outcomes = []
    for place, write in group:
        batch.results[place] = STALE
        if first.setdefault((write.id, write.fence), place) == place:
            outcomes.append(_outcome(write))
    values = {"outcomes": json(outcomes), "now": batch.now.micros}
    for id_, fence, status, title, attempts, error in batch.ask("finish", values):
        batch.results[first[id_, fence]] = Finished(STATUS[status])
        data = None if error is None else json({"attempt": attempts, "error": error})
        batch.tell(ENDS[status], id_, title, data)


def _outcome(write: Finish) -> tuple[object, ...]:
    run_at = None if write.run_at is None else micros_from_utc(write.run_at)
    return (
        write.id,
        write.fence,
        write.status,
        text_of(write.result),
        clean(write.error),
        run_at,
        int(write.refund),
        int(write.suspect),
    )


def progress(batch: Batch, group: Sequence[tuple[int, Progress]]) -> None:
    """Keep the last word of each attempt."""
    news = {(write.id, write.fence): text_of(write.data) for _, write in group}
    listed = json([(id_, fence, text) for (id_, fence), text in news.items()])
    rows = batch.ask("progress", {"news": listed, "now": batch.now.micros})
    held = {(id_, fence) for id_, fence, _, _ in rows}
    for place, write in group:
        kept = (write.id, write.fence) in held
        batch.results[place] = Finished(Status.PROCESSING) if kept else STALE
    for id_, _, title, text in rows:
        batch.tell(EventType.PROGRESS, id_, title, text)
