"""What a schedule is: what it makes and when, what was done with its due times; no store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from taskhub.model import Status, TaskId

MOST = 10_000
"""Schedules that a store takes."""

GRACE = 60.0
GRACE_MOST = 7 * 86_400.0
"""Seconds after which a due time counts as missed: when nothing is said, and at most."""

WAITING_MOST = 100
"""Runs of one schedule that may wait for the one before them."""


class Misfire(StrEnum):
    """What is done about due times that were missed because no scheduler ran."""

    SKIP = "skip"
    """Nothing: the next due time is the next run."""
    ONCE = "once"
    """One run stands for all of them."""
    ALL = "all"
    """Each of them is made up for, the oldest first."""


class Overlap(StrEnum):
    """What is done with a due time while the run before has not ended."""

    SKIP = "skip"
    """It is left out."""
    QUEUE = "queue"
    """It waits for the run before, behind those that wait already."""
    CANCEL = "cancel"
    """The run before is cancelled, and it runs when that has ended."""


class Source(StrEnum):
    """Where a schedule is said; those of `config` and `code` are read anew at each start."""

    API = "api"
    CODE = "code"
    CONFIG = "config"


RANK = {Source.API: 0, Source.CODE: 1, Source.CONFIG: 2}
"""Of two that have one name the greater takes it."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has asked for. `queue` empty, the others None: as the type has it."""

    name: str
    cron: str
    time_zone: str = "UTC"
    title: str
    type: str = "simulate"
    queue: str = ""
    priority: int = 0
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    misfire: Misfire = Misfire.ONCE
    misfire_grace: float = GRACE
    overlap: Overlap = Overlap.SKIP


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The newest run that became a task, and how that is; `status` None: it was deleted since."""

    due_at: datetime
    task_id: TaskId
    status: Status | None = None
    finished_at: datetime | None = None
    error: str | None = None


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A definition and where it stands; `version` grows by one with each change of it."""

    definition: Definition
    version: int
    source: Source = Source.API
    place: str = ""
    """Where in the source it is said: the name of a module."""
    paused: bool = False
    next_at: datetime | None = None
    """The due time that is handled next, also where that is past; None: there is none."""
    last: LastRun | None = None
    waiting: int = 0
    updated_at: datetime
    updated_by: str


class RunOutcome(StrEnum):
    """What has become of one due time."""

    FIRED = "fired"
    """It became a task."""
    WAITING = "waiting"
    """It becomes one when the run before has ended."""
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why a due time was skipped, or is a run that stands for others."""

    NONE = ""
    MISSED = "missed"
    """No scheduler ran in time."""
    OVERLAP = "overlap"
    """The run before had not ended."""
    FULL = "full"
    """As many runs waited as may wait."""
    SUPERSEDED = "superseded"
    """A newer run took its place while it waited."""
    PAUSED = "paused"
    """The schedule was paused while it waited."""
    DELETED = "deleted"
    """So was the schedule."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One due time of one schedule: there is one row of it, so it is handled once."""

    due_at: datetime
    at: datetime
    """When it was handled."""
    outcome: RunOutcome
    reason: Reason = Reason.NONE
    since: datetime | None = None
    """It stands for the due times from then on too: they were missed."""
    manual: bool = False
    """Somebody asked for it; no clock did."""
    task_id: TaskId | None = None
    status: Status | None = None
    """Of the task; None: there is none, or no longer."""


class ScheduleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of schedules by name; `cursor` is the last name of the page before."""

    cursor: str = ""
    limit: int = 50


class SchedulePage(msgspec.Struct, frozen=True):
    """Schedules, and the cursor of the next page (None: this was the last)."""

    items: Sequence[Schedule]
    next: str | None


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of one schedule's runs, newest first; only those due before `before`."""

    schedule: str
    before: datetime | None = None
    limit: int = 50


class RunPage(msgspec.Struct, frozen=True):
    """Runs, and `before` of the next page (None: this was the last)."""

    items: Sequence[Run]
    next: datetime | None


class Agenda(msgspec.Struct, frozen=True):
    """What is to be done at the store's time `now`, and when there will be more."""

    now: datetime
    due: Sequence[Schedule] = ()
    """Up to so many as were asked for, the longest due first."""
    ready: Sequence[tuple[Schedule, datetime]] = ()
    """Waiting runs, by their due time, whose predecessor has ended: the first of each schedule."""
    waits: bool = False
    """Whether any run waits for the one before it."""
    next: float | None = None
    """Seconds until the first due time that was not handled, 0 where it has come; None: none."""
