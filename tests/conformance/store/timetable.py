"""Short words for schedules in the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from taskhub.model import Status, TaskId, TaskItem
from taskhub.schedules.schedule import Definition, Overlap, Reason, RunOutcome, RunQuery, Schedule
from taskhub.schedules.writes import (
    Fired,
    FireSchedule,
    Saved,
    SaveSchedule,
    ScheduleResult,
    StartRun,
    TriggerSchedule,
)

from tests.conformance.store.world import World

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRED, WAITING, SKIPPED = RunOutcome.FIRED, RunOutcome.WAITING, RunOutcome.SKIPPED


def definition(name: str = "nightly", **fields: Any) -> Definition:
    """A schedule with something in every field."""
    plain: dict[str, Any] = {
        "name": name,
        "cron": "@hourly",
        "time_zone": "Europe/Berlin",
        "title": "Tidy up ü",
        "type": "simulate",
        "queue": "night",
        "priority": 5,
        "payload": msgspec.Raw(b'{"seconds":0.05}'),
        "max_attempts": 3,
        "timeout_seconds": 30.0,
        "misfire_grace": 30.0,
    }
    return Definition(**(plain | fields))


class Timetable:
    """A world seen through its schedules."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def made(self, name: str = "nightly", **fields: Any) -> Schedule:
        """A new schedule that is due in an hour."""
        asked = definition(name, **fields)
        next_at = self.world.hands.now + HOUR
        result = await self.world.one(
            SaveSchedule(definition=asked, next_at=next_at, by="olga", expect=0)
        )
        assert isinstance(result, Saved)
        assert result.made
        return result.schedule

    async def now(self, name: str = "nightly") -> Schedule:
        """How it is."""
        found = await self.world.store.schedule(name)
        assert found is not None
        return found

    def item(self, **fields: Any) -> TaskItem:
        """What a due time becomes."""
        return self.world.task(created_by="schedule:nightly", **fields)

    def firing(self, schedule: Schedule, **fields: Any) -> FireSchedule:
        """What a scheduler asks for when this is due."""
        assert schedule.next_at is not None
        plain: dict[str, Any] = {
            "name": schedule.definition.name,
            "version": schedule.version,
            "seen": schedule.next_at,
            "due": schedule.next_at,
            "next_at": schedule.next_at + HOUR,
            "item": self.item(),
        }
        return FireSchedule(**(plain | fields))

    async def fired(self, name: str = "nightly", **fields: Any) -> Fired:
        """The next due time, handled."""
        result = await self.world.one(self.firing(await self.now(name), **fields))
        assert isinstance(result, Fired)
        return result

    async def triggered(self, name: str = "nightly") -> ScheduleResult:
        """A run that somebody asks for."""
        result = await self.world.one(TriggerSchedule(name=name, item=self.item()))
        assert isinstance(result, ScheduleResult)
        return result

    async def started(self) -> list[Fired]:
        """What a scheduler does about runs that may start."""
        agenda = await self.world.store.agenda(100)
        writes = [
            StartRun(name=schedule.definition.name, due=due, item=self.item())
            for schedule, due in agenda.ready
        ]
        results = await self.world.do(*writes) if writes else []
        return [result for result in results if isinstance(result, Fired)]

    async def runs(self, name: str = "nightly") -> list[tuple[RunOutcome, Reason]]:
        """What became of its due times, oldest first."""
        page = await self.world.store.runs(RunQuery(schedule=name))
        return [(run.outcome, run.reason) for run in reversed(page.items)]

    async def end(self, task: TaskId | None, status: Status = Status.DONE) -> None:
        """Let the task of a run begin and end."""
        assert task is not None
        (lease,) = [each for each in await self.world.claim() if each.item.id == task]
        await self.world.finish(lease, status)


def overlapping(overlap: Overlap) -> dict[str, Any]:
    """A schedule of this policy."""
    return {"overlap": overlap}
