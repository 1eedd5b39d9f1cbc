"""Due times become tasks: each once, whoever tries, in the transaction that marks it as handled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taskhub.model import EventType, Status, TaskId, TaskItem, micros_from_utc, utc_from_micros
from taskhub.ports import Cancel, Changed, Stale
from taskhub.schedules.overlapping import Verdict, judge
from taskhub.schedules.schedule import Reason, RunOutcome, Schedule
from taskhub.schedules.writes import Absent, Fired, FireSchedule, StartRun, TriggerSchedule
from taskhub.store.steps import acts
from taskhub.store.steps.batch import SCHEDULES, Batch
from taskhub.store.steps.rows import new_row
from taskhub.store.steps.schedules import give_up, named

MISSED = Verdict(RunOutcome.SKIPPED, Reason.MISSED)


class Due(msgspec.Struct, frozen=True):
    """One due time of a schedule that is to be handled, and the task that it may become."""

    schedule: Schedule
    at: int
    item: TaskItem | None
    manual: bool = False
    reason: Reason = Reason.NONE
    since: int | None = None


def fire(batch: Batch, group: Sequence[tuple[int, FireSchedule]]) -> None:
    """Handle each due time that nobody else has handled."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        batch.results[place] = _fired(batch, place, write)


def _fired(batch: Batch, place: int, write: FireSchedule) -> Fired | Stale:
    after = None if write.next_at is None else micros_from_utc(write.next_at)
    seen = {"name": write.name, "version": write.version, "seen": micros_from_utc(write.seen)}
    if not batch.change("move_on", seen | {"next": after}):
        return Stale()
    schedule = named(batch, write.name)
    assert schedule is not None, "it has just moved"
    reason = Reason.MISSED if write.missed else Reason.NONE
    since = None if write.since is None else micros_from_utc(write.since)
    due = Due(schedule, micros_from_utc(write.due), write.item, reason=reason, since=since)
    verdict = MISSED if write.item is None else _verdict(schedule)
    return _handled(batch, place, due, verdict)


def trigger(batch: Batch, group: Sequence[tuple[int, TriggerSchedule]]) -> None:
    """Run now what somebody asks for; what its overlap policy leaves out leaves no mark."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        schedule = named(batch, write.name)
        if schedule is None:
            batch.results[place] = Absent()
            continue
        due = Due(schedule, _free_moment(batch, write.name), write.item, manual=True)
        verdict = _verdict(schedule)
        if verdict.outcome is RunOutcome.SKIPPED:
            batch.results[place] = Fired(utc_from_micros(due.at), verdict.outcome, verdict.reason)
            continue
        fired = _handled(batch, place, due, verdict)
        if write.audit is not None:
            task = write.item.id if verdict.outcome is RunOutcome.FIRED else None
            acts.audit(batch, [(place, msgspec.structs.replace(write.audit, task_id=task))])
        batch.results[place] = fired


def start(batch: Batch, group: Sequence[tuple[int, StartRun]]) -> None:
    """Make the tasks of runs whose predecessor has ended."""
    batch.transaction.apart(SCHEDULES)
    for place, write in group:
        due = micros_from_utc(write.due)
        schedule = named(batch, write.name)
        if schedule is None or _previous(schedule) is not None:
            batch.results[place] = Stale()
            continue
        mark = {"name": write.name, "due": due, "task": write.item.id, "now": batch.now.micros}
        if not batch.change("start_waiting", mark):
            batch.results[place] = Stale()
            continue
        _make(batch, Due(schedule, due, write.item))
        batch.results[place] = Fired(write.due, RunOutcome.FIRED, task_id=write.item.id)


def _verdict(schedule: Schedule) -> Verdict:
    overlap = schedule.definition.overlap
    return judge(overlap, previous=_previous(schedule), waiting=schedule.waiting)


def _previous(schedule: Schedule) -> Status | None:
    """The state of the run before, if it has not ended."""
    status = None if schedule.last is None else schedule.last.status
    return None if status is None or status.is_final else status


def _handled(batch: Batch, place: int, due: Due, verdict: Verdict) -> Fired | Stale:
    """Mark it; who comes second finds the mark and does nothing."""
    task = due.item.id if due.item is not None and verdict.outcome is RunOutcome.FIRED else None
    reason = verdict.reason or due.reason
    name = due.schedule.definition.name
    mark = {"name": name, "due": due.at, "since": due.since, "now": batch.now.micros, "task": task}
    told = {"outcome": verdict.outcome, "reason": reason, "manual": int(due.manual)}
    if not batch.change("handle", mark | told):
        return Stale()
    if verdict.supersedes:
        give_up(batch, name, Reason.SUPERSEDED, but=due.at)
    stopped = _cancel(batch, place, due.schedule) if verdict.cancels else None
    if task is not None:
        _make(batch, due)
    return Fired(utc_from_micros(due.at), verdict.outcome, reason, task, stopped)


def _cancel(batch: Batch, place: int, schedule: Schedule) -> TaskId | None:
    """Cancel the run before; its id, where it goes on until it has stopped."""
    assert schedule.last is not None, "it has not ended"
    acts.cancel(batch, [(place, Cancel(id=schedule.last.task_id))])
    match batch.results.pop(place):
        case Changed(item=item) if item.status is Status.PROCESSING:
            return item.id
        case _:
            return None


def _make(batch: Batch, due: Due) -> None:
    """Store the task; it is the run that the next one may overlap with."""
    assert due.item is not None, "it runs"
    item = due.item
    batch.insert("create", [new_row(item, None)])
    batch.tell(EventType.CREATED, [(item.id, item.title)])
    batch.change("ran", {"name": due.schedule.definition.name, "due": due.at, "task": item.id})


def _free_moment(batch: Batch, name: str) -> int:
    """A time of its own for a run that no clock asked for: odd, as no due time is."""
    at = batch.now.micros | 1
    while batch.ask("due_known", {"name": name, "due": at}):
        at += 2
    return at
