"""What may be asked of schedules; a part of the store's port."""

from __future__ import annotations

from typing import Protocol

from taskhub.schedules.schedule import (
    Agenda,
    RunPage,
    RunQuery,
    Schedule,
    SchedulePage,
    ScheduleQuery,
)


class ReadsSchedules(Protocol):
    """Reads what a store keeps of schedules."""

    async def schedule(self, name: str) -> Schedule | None:
        """The schedule of this name."""

    async def schedules(self, query: ScheduleQuery) -> SchedulePage:
        """One page of schedules, by name."""

    async def runs(self, query: RunQuery) -> RunPage:
        """One page of what became of a schedule's due times, newest first."""

    async def agenda(self, limit: int) -> Agenda:
        """What schedules are due now, at most so many; quickly where none is."""
