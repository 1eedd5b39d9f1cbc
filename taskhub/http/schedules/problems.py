"""What can go wrong with schedules alone."""

from __future__ import annotations

from taskhub.errors import Conflict, NotFound, Problem
from taskhub.schedules.schedule import MOST, Source


class NoSchedule(NotFound):
    """There is no such schedule here."""

    code = "no-schedule"


class NameTaken(Conflict):
    """There is a schedule of this name already."""

    code = "name-taken"


class DeclaredElsewhere(Conflict):
    """The configuration or code declares this schedule: it is changed there."""

    code = "declared"

    def __init__(self, source: Source | None = None) -> None:
        where = {Source.CONFIG: "The configuration", Source.CODE: "Code"}.get(source or Source.API)
        super().__init__(f"{where} declares this schedule: it is changed there." if where else "")


class TooMany(Conflict):
    """There are as many schedules as there may be."""

    code = "too-many-schedules"

    def __init__(self) -> None:
        super().__init__(f"There are {MOST} schedules, as many as there may be.")


class Overlapping(Conflict):
    """The run before has not ended, and the schedule's overlap policy lets no other run wait."""

    code = "overlapping"


class Changed(Problem):
    """The schedule is not, or no longer, as If-Match or If-None-Match says."""

    status = 412
    code = "changed"
