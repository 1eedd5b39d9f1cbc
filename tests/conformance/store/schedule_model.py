"""What a store must do with schedules, said once more without any database; beside `model.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from taskhub import ports as p
from taskhub.model import Status, TaskItem
from taskhub.schedules import writes as w
from taskhub.schedules.schedule import (
    RANK,
    WAITING_MOST,
    Definition,
    LastRun,
    Overlap,
    Reason,
    Run,
    RunOutcome,
    Schedule,
    Source,
)

from tests.conformance.store.model import CANCELLED, ORDER, PENDING, PROCESSING, Model, Row

Runs = dict[datetime, Run]

SCHEDULE_ORDER = (
    *(w.SaveSchedule, w.DropSchedule, w.PauseSchedule, w.ResumeSchedule, w.DeclareSchedules),
    *(w.FireSchedule, w.TriggerSchedule, w.StartRun),
)
BEFORE_CLAIMS = ORDER.index(p.Claim)


@dataclass
class ScheduleModel(Model):
    """Tasks as in the model, and schedules by name with the rows of their runs."""

    schedules: dict[str, Schedule] = field(default_factory=dict)
    runs: dict[str, Runs] = field(default_factory=dict)

    def order(self) -> Sequence[type[object]]:
        """Schedules come before claims."""
        return (*ORDER[:BEFORE_CLAIMS], *SCHEDULE_ORDER, *ORDER[BEFORE_CLAIMS:])

    def look(self, name: str) -> Schedule | None:
        """The schedule as a reader sees it, with its last task as that is now."""
        found = self.schedules.get(name)
        if found is None:
            return None
        last = found.last
        if last is not None:
            row = self.rows.get(last.task_id)
            last = LastRun(
                due_at=last.due_at,
                task_id=last.task_id,
                status=row.item.status if row else None,
                finished_at=row.item.finished_at if row else None,
                error=row.item.error if row else None,
            )
        waiting = sum(run.outcome is RunOutcome.WAITING for run in self.runs.get(name, {}).values())
        return msgspec.structs.replace(found, last=last, waiting=waiting)

    # ---- definitions -------------------------------------------------------------------------

    def _saveschedule(self, write: w.SaveSchedule) -> p.Result:
        name = write.definition.name
        found = self.schedules.get(name)
        if found is None and write.expect:
            return w.Absent()
        if found is not None:
            if write.expect == 0:
                return w.Outdated(found.version)
            if found.source is not Source.API:
                return w.Declared(found.source)
            if write.expect not in (None, found.version):
                return w.Outdated(found.version)
        self._put(write.definition, write.next_at, Source.API, "", write.by)
        saved = self.look(name)
        assert saved is not None
        return w.Saved(saved, made=found is None)

    def _put(self, definition: Definition, next_at: datetime, source: Source, *said: str) -> None:
        place, by = said
        found = self.schedules.get(definition.name)
        if found is None:
            self.schedules[definition.name] = Schedule(
                definition=definition,
                version=1,
                source=source,
                place=place,
                next_at=next_at,
                updated_at=self.now,
                updated_by=by,
            )
            return
        old = found.definition
        same_times = (old.cron, old.time_zone) == (definition.cron, definition.time_zone)
        self._change(
            definition.name,
            definition=definition,
            source=source,
            place=place,
            next_at=found.next_at if same_times and found.next_at else next_at,
            by=by,
        )

    def _change(self, name: str, *, by: str, **fields: object) -> None:
        found = self.schedules[name]
        self.schedules[name] = msgspec.structs.replace(
            found, version=found.version + 1, updated_at=self.now, updated_by=by, **fields
        )

    def _guard(self, name: str, expect: int | None) -> p.Result | None:
        found = self.schedules.get(name)
        if found is None:
            return w.Absent()
        return None if expect in (None, found.version) else w.Outdated(found.version)

    def _dropschedule(self, write: w.DropSchedule) -> p.Result:
        if refused := self._guard(write.name, write.expect):
            return refused
        found = self.look(write.name)
        assert found is not None
        if found.source is Source.CONFIG:
            return w.Declared(found.source)
        self._remove(write.name)
        return w.Saved(found)

    def _remove(self, name: str) -> None:
        self._give_up(name, Reason.DELETED)
        del self.schedules[name]

    def _pauseschedule(self, write: w.PauseSchedule) -> p.Result:
        if refused := self._guard(write.name, write.expect):
            return refused
        if not self.schedules[write.name].paused:
            self._change(write.name, paused=True, by=write.by)
        self._give_up(write.name, Reason.PAUSED)
        return w.Saved(_there(self.look(write.name)))

    def _resumeschedule(self, write: w.ResumeSchedule) -> p.Result:
        if refused := self._guard(write.name, write.expect):
            return refused
        if self.schedules[write.name].paused:
            self._change(write.name, paused=False, next_at=write.next_at, by=write.by)
        return w.Saved(_there(self.look(write.name)))

    def _declareschedules(self, write: w.DeclareSchedules) -> p.Result:
        mine = {
            name
            for name, found in self.schedules.items()
            if (found.source, found.place) == (write.source, write.place)
        }
        wanted = {definition.name for definition, _ in write.schedules}
        removed = sorted(mine - wanted)
        for name in removed:
            self._remove(name)
        added: list[str] = []
        changed: list[str] = []
        refused: list[str] = []
        for definition, next_at in write.schedules:
            found = self.schedules.get(definition.name)
            if found is not None and RANK[found.source] > RANK[write.source]:
                refused.append(definition.name)
                continue
            if found is not None and definition.name in mine and found.definition == definition:
                continue
            (added if found is None else changed).append(definition.name)
            self._put(definition, next_at, write.source, write.place, write.by)
        return w.Synced(tuple(added), tuple(changed), tuple(removed), tuple(refused))

    # ---- due times ---------------------------------------------------------------------------

    def _fireschedule(self, write: w.FireSchedule) -> p.Result:
        found = self.schedules.get(write.name)
        if found is None or found.paused:
            return p.Stale()
        if (found.version, found.next_at) != (write.version, write.seen):
            return p.Stale()
        self.schedules[write.name] = msgspec.structs.replace(found, next_at=write.next_at)
        if write.due in self.runs.get(write.name, {}):
            return p.Stale()
        if write.item is None:
            self._mark(write.name, write.due, RunOutcome.SKIPPED, Reason.MISSED)
            result = w.Fired(write.due, RunOutcome.SKIPPED, Reason.MISSED)
        else:
            reason = Reason.MISSED if write.missed else Reason.NONE
            result = self._run(write.name, write.due, write.item, reason)
        run = self.runs[write.name][write.due]
        self.runs[write.name][write.due] = msgspec.structs.replace(run, since=write.since)
        return result

    def _triggerschedule(self, write: w.TriggerSchedule) -> p.Result:
        if write.name not in self.schedules:
            return w.Absent()
        due = self.now + timedelta(microseconds=1 - self.now.microsecond % 2)
        while due in self.runs.get(write.name, {}):
            due += timedelta(microseconds=2)
        result = self._run(write.name, due, write.item, Reason.NONE, manual=True)
        if result.outcome is RunOutcome.SKIPPED:
            del self.runs[write.name][due]
        return result

    def _startrun(self, write: w.StartRun) -> p.Result:
        run = self.runs.get(write.name, {}).get(write.due)
        if run is None or run.outcome is not RunOutcome.WAITING or self._before(write.name):
            return p.Stale()
        self._mark(write.name, write.due, RunOutcome.FIRED, run.reason, write.item)
        started = self.runs[write.name][write.due]
        self.runs[write.name][write.due] = msgspec.structs.replace(
            started, manual=run.manual, since=run.since
        )
        return w.Fired(write.due, RunOutcome.FIRED, task_id=write.item.id)

    def _run(
        self, name: str, due: datetime, item: TaskItem, reason: Reason, *, manual: bool = False
    ) -> w.Fired:
        """One after the other, whatever the policy: it says which of them there are."""
        before, waiting = self._before(name), self._waiting(name)
        overlap = self.schedules[name].definition.overlap
        stopped = None
        outcome = RunOutcome.FIRED
        if before or waiting:
            outcome = RunOutcome.WAITING
            if overlap is Overlap.SKIP:
                outcome, reason = RunOutcome.SKIPPED, Reason.OVERLAP
            elif overlap is Overlap.QUEUE and len(waiting) >= WAITING_MOST:
                outcome, reason = RunOutcome.SKIPPED, Reason.FULL
            elif overlap is Overlap.CANCEL:
                self._give_up(name, Reason.SUPERSEDED)
                outcome = RunOutcome.FIRED
                if before and before.item.status is PENDING:
                    before.change(cancel_requested=True)
                    self._end(before, CANCELLED)
                elif before:
                    before.change(cancel_requested=True, updated_at=self.now)
                    outcome, stopped = RunOutcome.WAITING, before.item.id
        self._mark(name, due, outcome, reason, item, manual=manual)
        task = item.id if outcome is RunOutcome.FIRED else None
        return w.Fired(due, outcome, reason, task, stopped)

    def _mark(
        self,
        name: str,
        due: datetime,
        outcome: RunOutcome,
        reason: Reason,
        item: TaskItem | None = None,
        *,
        manual: bool = False,
    ) -> None:
        task = item.id if item is not None and outcome is RunOutcome.FIRED else None
        run = Run(
            due_at=due, at=self.now, outcome=outcome, reason=reason, manual=manual, task_id=task
        )
        self.runs.setdefault(name, {})[due] = run
        if task is not None:
            self._create(p.Create(item=item))  # type: ignore[arg-type]  # it is there
            last = LastRun(due_at=due, task_id=task)
            self.schedules[name] = msgspec.structs.replace(self.schedules[name], last=last)

    def _before(self, name: str) -> Row | None:
        """The task of the last run, while that has not ended."""
        found = self.schedules.get(name)
        if found is None or found.last is None:
            return None
        row = self.rows.get(found.last.task_id)
        return row if row is not None and row.item.status in (PENDING, PROCESSING) else None

    def _waiting(self, name: str) -> list[Run]:
        runs = self.runs.get(name, {}).values()
        return [run for run in runs if run.outcome is RunOutcome.WAITING]

    def _give_up(self, name: str, reason: Reason) -> None:
        for run in self._waiting(name):
            self.runs[name][run.due_at] = msgspec.structs.replace(
                run, outcome=RunOutcome.SKIPPED, reason=reason, at=self.now
            )

    def status_of(self, run: Run) -> Status | None:
        """How the task of a run is now."""
        row = None if run.task_id is None else self.rows.get(run.task_id)
        return None if row is None else row.item.status


def _there(schedule: Schedule | None) -> Schedule:
    assert schedule is not None
    return schedule
