"""Schedules as rows: how they are read, made, changed, paused, deleted, declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from taskhub.audit import Audit
from taskhub.model import TaskId, micros_from_utc, utc_from_micros
from taskhub.schedules.schedule import (
    MOST,
    RANK,
    Definition,
    LastRun,
    Misfire,
    Overlap,
    Reason,
    Run,
    RunOutcome,
    Schedule,
    Source,
)
from taskhub.schedules.writes import (
    Absent,
    Crowded,
    Declared,
    DeclareSchedules,
    DropSchedule,
    Outdated,
    PauseSchedule,
    ResumeSchedule,
    Saved,
    SaveSchedule,
    ScheduleResult,
    Synced,
)
from taskhub.store.steps import acts
from taskhub.store.steps.batch import SCHEDULES, Batch
from taskhub.store.steps.rows import STATUS, Row

Guarded = SaveSchedule | DropSchedule | PauseSchedule | ResumeSchedule
COLUMNS = 26
"""Of the fragment `schedule`."""


def save(batch: Batch, group: Sequence[tuple[int, SaveSchedule]]) -> None:
    """Make or change one after the other."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        found = named(batch, write.definition.name)
        batch.results[place] = _refused(batch, write, found) or _saved(batch, place, write, found)


def drop(batch: Batch, group: Sequence[tuple[int, DropSchedule]]) -> None:
    """Delete one after the other; runs that wait are given up."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        found = named(batch, write.name)
        if found is None:
            batch.results[place] = Absent()
        elif (refusal := _guarded(write, found)) is not None:
            batch.results[place] = refusal
        elif found.source is Source.CONFIG:
            batch.results[place] = Declared(found.source)
        else:
            remove(batch, write.name)
            _audit(batch, place, write.audit)
            batch.results[place] = Saved(found)


def pause(batch: Batch, group: Sequence[tuple[int, PauseSchedule]]) -> None:
    """Stop those that run; what waits is given up."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        values = {"name": write.name, "now": batch.now.micros, "by": write.by}
        batch.results[place] = _switched(batch, place, write, ("pause_schedule", values))


def resume(batch: Batch, group: Sequence[tuple[int, ResumeSchedule]]) -> None:
    """Let those go on that are paused."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        values = {"name": write.name, "now": batch.now.micros, "by": write.by}
        values["next"] = _micros(write.next_at)
        batch.results[place] = _switched(batch, place, write, ("resume_schedule", values))


def declare(batch: Batch, group: Sequence[tuple[int, DeclareSchedules]]) -> None:
    """Bring what a place has declared into line with what it declares now."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        wanted = {definition.name for definition, _ in write.schedules}
        values = {"source": write.source, "place": write.place}
        gone = [name for (name,) in batch.ask("schedules_of", values) if name not in wanted]
        for name in gone:
            remove(batch, name)
        done: dict[str, list[str]] = {"added": [], "changed": [], "refused": []}
        for definition, next_at in write.schedules:
            if how := _declared(batch, write, definition, next_at):
                done[how].append(definition.name)
        batch.results[place] = Synced(
            added=tuple(done["added"]),
            changed=tuple(done["changed"]),
            removed=tuple(gone),
            refused=tuple(done["refused"]),
        )


# ---- rows


def named(batch: Batch, name: str) -> Schedule | None:
    """The schedule as it is now."""
    rows = batch.ask("schedule_named", {"name": name})
    return schedule_of(rows[0]) if rows else None


def schedule_of(row: Row) -> Schedule:
    """The schedule that a row of the `schedule` columns holds."""
    version, source, place, enabled, next_at, updated_at, by = row[13:20]
    return Schedule(
        definition=_definition_of(row),
        version=version,
        source=Source(source),
        place=place,
        paused=not enabled,
        next_at=_utc(next_at),
        last=_last_of(row),
        waiting=row[25],
        updated_at=utc_from_micros(updated_at),
        updated_by=by,
    )


def _definition_of(row: Row) -> Definition:
    return Definition(
        name=row[0],
        cron=row[1],
        time_zone=row[2],
        title=row[3],
        type=row[4],
        queue=row[5],
        priority=row[6],
        payload=msgspec.Raw(row[7]),
        max_attempts=row[8],
        timeout_seconds=row[9],
        misfire=Misfire(row[10]),
        misfire_grace=row[11],
        overlap=Overlap(row[12]),
    )


def _last_of(row: Row) -> LastRun | None:
    due, task, status, finished, error = row[20:25]
    if due is None:
        return None
    return LastRun(
        due_at=utc_from_micros(due),
        task_id=TaskId(task),
        status=None if status is None else STATUS[status],
        finished_at=_utc(finished),
        error=error,
    )


def run_of(row: Row) -> Run:
    """What became of a due time, as a row of `schedule_runs` says it."""
    due, at, since, outcome, reason, manual, task, status = row
    return Run(
        due_at=utc_from_micros(due),
        at=utc_from_micros(at),
        since=_utc(since),
        outcome=RunOutcome(outcome),
        reason=Reason(reason),
        manual=bool(manual),
        task_id=task,
        status=None if status is None else STATUS[status],
    )


def _values(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "cron": definition.cron,
        "zone": definition.time_zone,
        "title": definition.title,
        "type": definition.type,
        "queue": definition.queue,
        "priority": definition.priority,
        "payload": str(definition.payload, "utf-8"),
        "attempts": definition.max_attempts,
        "timeout": definition.timeout_seconds,
        "misfire": definition.misfire,
        "grace": definition.misfire_grace,
        "overlap": definition.overlap,
    }


# ---- changes


def _refused(batch: Batch, write: SaveSchedule, found: Schedule | None) -> ScheduleResult | None:
    """Why a definition is not stored."""
    if found is not None:
        is_ours = found.source is Source.API or write.expect == 0
        return _guarded(write, found) if is_ours else Declared(found.source)
    if write.expect:
        return Absent()
    ((count,),) = batch.ask("count_schedules", {})
    return Crowded() if count >= MOST else None


def _guarded(write: Guarded, found: Schedule) -> Outdated | None:
    expected = write.expect in (None, found.version)
    return None if expected else Outdated(found.version)


def _saved(batch: Batch, place: int, write: SaveSchedule, found: Schedule | None) -> ScheduleResult:
    said = (write.definition, write.next_at, Source.API, "", write.by)
    _store(batch, "add_schedule" if found is None else "change_schedule", said)
    _audit(batch, place, write.audit)
    now = named(batch, write.definition.name)
    assert now is not None, "it was stored"
    return Saved(now, made=found is None)


def _store(
    batch: Batch, statement: str, said: tuple[Definition, datetime, Source, str, str]
) -> None:
    definition, next_at, source, place, by = said
    values = _values(definition) | {"next": micros_from_utc(next_at), "now": batch.now.micros}
    batch.change(statement, values | {"source": source, "place": place, "by": by})


def _switched(
    batch: Batch,
    place: int,
    write: PauseSchedule | ResumeSchedule,
    how: tuple[str, Mapping[str, object]],
) -> ScheduleResult:
    found = named(batch, write.name)
    if found is None:
        return Absent()
    if (refusal := _guarded(write, found)) is not None:
        return refusal
    if batch.change(*how):
        _audit(batch, place, write.audit)
    if isinstance(write, PauseSchedule):
        give_up(batch, write.name, Reason.PAUSED)
    now = named(batch, write.name)
    assert now is not None, "it was there a moment ago"
    return Saved(now)


def _declared(
    batch: Batch, write: DeclareSchedules, definition: Definition, next_at: datetime
) -> str:
    """What was done with it; empty: it is so already."""
    found = named(batch, definition.name)
    said = (definition, next_at, write.source, write.place, write.by)
    if found is None:
        _store(batch, "add_schedule", said)
        return "added"
    if RANK[found.source] > RANK[write.source]:
        return "refused"
    same_place = (found.source, found.place) == (write.source, write.place)
    if same_place and found.definition == definition:
        return ""
    _store(batch, "change_schedule", said)
    return "changed"


def remove(batch: Batch, name: str) -> None:
    """Delete a schedule; what waits of it is given up."""
    give_up(batch, name, Reason.DELETED)
    batch.change("drop_schedule", {"name": name})


def give_up(batch: Batch, name: str, reason: Reason, but: int | None = None) -> None:
    """Skip the runs that wait, all but the one due then."""
    values = {"name": name, "reason": reason, "but": but, "now": batch.now.micros}
    batch.change("give_up_waiting", values)


def _audit(batch: Batch, place: int, audit: Audit | None) -> None:
    if audit is not None:
        acts.audit(batch, [(place, audit)])


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else micros_from_utc(moment)


def _utc(micros: int | None) -> datetime | None:
    return None if micros is None else utc_from_micros(micros)
