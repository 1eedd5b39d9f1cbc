"""What may be written of schedules, and what comes of it; a part of the store's port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from taskhub.audit import Audit
from taskhub.model import TaskId, TaskItem
from taskhub.schedules.schedule import Definition, Reason, RunOutcome, Schedule, Source


class SaveSchedule(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make a schedule, or change it. Result: Saved | Absent | Outdated | Declared | Crowded.

    `expect` 0: only where there is none of this name; a number: only that version; None: whatever
    is there. `next_at` counts for what is new, or whose times are others now: else it stands where
    it stood.
    """

    definition: Definition
    next_at: datetime
    by: str
    expect: int | None = None
    audit: Audit | None = None


class DropSchedule(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Delete a schedule and what is kept of its runs. Result: Saved | Absent | Outdated | Declared.

    Its tasks stay. What the configuration says cannot be deleted here.
    """

    name: str
    expect: int | None = None
    audit: Audit | None = None


class PauseSchedule(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Stop handling due times; runs that wait are given up. Result: Saved | Absent | Outdated.

    One that is paused already stays as it is.
    """

    name: str
    by: str
    expect: int | None = None
    audit: Audit | None = None


class ResumeSchedule(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Go on from `next_at`: nothing between counts as missed. Result: Saved | Absent | Outdated."""

    name: str
    next_at: datetime | None
    by: str
    expect: int | None = None
    audit: Audit | None = None


class DeclareSchedules(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Have exactly these schedules of one place of a source, each with its next due time.

    Those of the same place that are not named are deleted. A name that a source of higher rank
    has stays with it; one of a lower or the same is taken over. A pause stays. Result: Synced.
    """

    source: Source
    place: str
    schedules: Sequence[tuple[Definition, datetime]]
    by: str


class FireSchedule(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Handle one due time and move on to `next_at`. Result: Fired | Stale.

    Guarded twice: the schedule is of this version, not paused and still stands at `seen`; and
    there is no run of this due time yet. So whoever tries, it is handled once. `item` None: it does
    not run. `missed`: nobody handled it in time, or those from `since` on, for which it stands.
    """

    name: str
    version: int
    seen: datetime
    due: datetime
    next_at: datetime | None
    item: TaskItem | None
    missed: bool = False
    since: datetime | None = None


class TriggerSchedule(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run it now, paused or not, as its overlap policy allows. Result: Fired | Absent.

    `audit` is written where it runs (with the task) or waits.
    """

    name: str
    item: TaskItem
    audit: Audit | None = None


class StartRun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make the task of a run that waits, if the run before has ended. Result: Fired | Stale."""

    name: str
    due: datetime
    item: TaskItem


ScheduleWrite = (
    SaveSchedule
    | DropSchedule
    | PauseSchedule
    | ResumeSchedule
    | DeclareSchedules
    | FireSchedule
    | TriggerSchedule
    | StartRun
)


class Saved(msgspec.Struct, frozen=True):
    """How the schedule is now; after a Drop, how it was. `made`: there was none before."""

    schedule: Schedule
    made: bool = False


class Absent(msgspec.Struct, frozen=True):
    """There is no schedule of this name."""


class Outdated(msgspec.Struct, frozen=True):
    """It has another version by now, or there is one already."""

    version: int


class Declared(msgspec.Struct, frozen=True):
    """The source says it: it is changed there."""

    source: Source


class Crowded(msgspec.Struct, frozen=True):
    """There are as many schedules as there may be."""


class Synced(msgspec.Struct, frozen=True):
    """What a declaration has changed, by name; `refused` belong to a source of higher rank."""

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()
    refused: Sequence[str] = ()


class Fired(msgspec.Struct, frozen=True):
    """What has become of a due time."""

    due: datetime
    outcome: RunOutcome
    reason: Reason = Reason.NONE
    task_id: TaskId | None = None
    asked_to_stop: TaskId | None = None
    """The run before, which is asked to stop."""


ScheduleResult = Saved | Absent | Outdated | Declared | Crowded | Synced | Fired
