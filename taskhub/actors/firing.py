"""What the scheduler does about schedules: it asks what is due, decides, and has the store do it.

Any number of schedulers do so at the same time: each due time is guarded in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from taskhub.actors.declaring import declaration, tell_declared
from taskhub.messages import PASSING, Put
from taskhub.model import TypeDefaults
from taskhub.obs.telemetry import Emit, ScheduleBroken, ScheduleFired, SchedulesSeen
from taskhub.ports import Refused
from taskhub.schedules.cron import CronError, read
from taskhub.schedules.making import Birth, defaults_by_type, task
from taskhub.schedules.schedule import Source
from taskhub.schedules.timing import Moment, Step, plan
from taskhub.schedules.writes import Fired, FireSchedule, StartRun

if TYPE_CHECKING:
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.model import TaskItem
    from taskhub.ports import Result, Store, Write
    from taskhub.schedules.schedule import Agenda, Definition, Schedule

BATCH = 100
"""Due times handled in one transaction."""
AGAIN, SOON = 1.0, 0.05
"""Seconds until another try: where something is in the way, and where somebody was quicker."""
BROKEN_MOST = 1_000
"""Schedules that cannot be handled here and were told of; past it some are told of again."""

Defaults = Mapping[str, TypeDefaults]


class Firing:
    """Handles due times; holds no timer and no schedule, the store is asked each time."""

    def __init__(
        self,
        box: Mailbox[Put],
        store: Store,
        declared: Callable[[], Sequence[Definition]],
        emit: Emit,
    ) -> None:
        """Write through `box`; `declared` is what the configuration says at this moment."""
        self._box, self._store, self._emit = box, store, emit
        self._declared = declared
        self._synced: Sequence[Definition] | None = None
        self._broken: dict[str, int] = {}

    async def look(self) -> float | None:
        """Handle what is due; seconds until the next look is worth it, None: nobody knows one."""
        try:
            await self._sync()
            agenda = await self._store.agenda(BATCH + len(self._broken))
            writes = await self._writes(agenda)
            if not writes:
                self._emit(SchedulesSeen(overdue=_overdue(agenda)))
                return self._pause(agenda)
            results = await Put(*writes).sent_to(self._box)
        except PASSING:
            return AGAIN
        self._tell(agenda, writes, results)
        return 0.0 if any(isinstance(result, Fired) for result in results) else SOON

    def _pause(self, agenda: Agenda) -> float | None:
        """Until the next due time; a bell comes earlier, but may be lost when a run has ended."""
        if agenda.due or agenda.waits:
            return AGAIN if not agenda.next else min(AGAIN, agenda.next)
        return agenda.next

    async def _sync(self) -> None:
        """Have the store know what the configuration says, at the start and when it has changed."""
        declared = self._declared()
        if declared == self._synced:
            return
        write = declaration(Source.CONFIG, "", declared)
        (result,) = await Put(write).sent_to(self._box)
        self._synced = declared
        tell_declared(self._emit, write, result)

    async def _writes(self, agenda: Agenda) -> list[Write]:
        """What to ask of the store, within the bound of one transaction."""
        if not agenda.due and not agenda.ready:
            return []
        defaults = defaults_by_type(await self._store.types())
        writes: list[Write] = [
            StartRun(
                name=schedule.definition.name,
                due=due,
                item=_item(schedule, defaults, Birth(str(uuid7()), agenda.now, due)),
            )
            for schedule, due in agenda.ready
        ]
        share = max(1, BATCH // max(1, len(agenda.due)))  # one that missed much holds up no other
        for schedule in agenda.due:
            steps = self._steps(schedule, agenda, min(share, BATCH - len(writes)))
            writes += [self._fire(schedule, step, agenda, defaults) for step in steps]
            await asyncio.sleep(0)  # after a long sleep each takes a millisecond: others may go on
        return writes

    def _steps(self, schedule: Schedule, agenda: Agenda, limit: int) -> Sequence[Step]:
        asked = schedule.definition
        if schedule.next_at is None or self._broken.get(asked.name) == schedule.version:
            return ()
        try:
            cron = read(asked.cron, asked.time_zone)
        except CronError as error:  # this machine may not know the zone
            self._breaks(schedule, f"{error.member}: expected {error}")
            return ()
        moment = Moment(schedule.next_at, agenda.now, asked.misfire_grace)
        return plan(cron, asked.misfire, moment, limit)

    def _fire(
        self, schedule: Schedule, step: Step, agenda: Agenda, defaults: Defaults
    ) -> FireSchedule:
        birth = Birth(str(uuid7()), agenda.now, step.due)
        return FireSchedule(
            name=schedule.definition.name,
            version=schedule.version,
            seen=step.seen,
            due=step.due,
            next_at=step.next,
            item=_item(schedule, defaults, birth) if step.runs else None,
            missed=step.missed,
            since=step.since,
        )

    def _breaks(self, schedule: Schedule, why: str) -> None:
        name = schedule.definition.name
        if len(self._broken) >= BROKEN_MOST:
            self._broken.clear()
        self._broken[name] = schedule.version
        self._emit(ScheduleBroken(schedule=name, reason=why))

    def _tell(self, agenda: Agenda, writes: Sequence[Write], results: Sequence[Result]) -> None:
        named = {schedule.definition.name: schedule for schedule in agenda.due}
        for write, result in zip(writes, results, strict=True):
            assert isinstance(write, FireSchedule | StartRun), "there are no others"
            if isinstance(result, Fired):
                self._tell_fired(agenda, write, result)
            elif isinstance(result, Refused) and write.name in named:
                self._breaks(named[write.name], result.reason)

    def _tell_fired(self, agenda: Agenda, write: FireSchedule | StartRun, fired: Fired) -> None:
        self._emit(
            ScheduleFired(
                schedule=write.name,
                due=fired.due,
                outcome=fired.outcome,
                reason=fired.reason,
                since=write.since if isinstance(write, FireSchedule) else None,
                task_id=fired.task_id or "",
                late=(agenda.now - fired.due).total_seconds(),
            )
        )


def _overdue(agenda: Agenda) -> float:
    """Seconds since the first due time that nobody could handle; 0 when there is none."""
    times = (schedule.next_at for schedule in agenda.due if schedule.next_at is not None)
    return (agenda.now - min(times, default=agenda.now)).total_seconds()


def _item(schedule: Schedule, defaults: Defaults, birth: Birth) -> TaskItem:
    asked = schedule.definition
    return task(asked, defaults.get(asked.type) or TypeDefaults(), birth)
