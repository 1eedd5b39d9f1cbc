"""A process that works on a store: `python -m tests.conformance.store.clerk JOB KIND PATH`.

The job `migrate` brings the schema up and opens the store, once a line on stdin lets it begin. The
job `create` makes tasks for ever and prints the id of each that is stored; its starter ends it. The
job `fire` handles everything that is due, prints each due time that it has fired, and ends.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path

from taskhub.ports import Create, Created
from taskhub.schedules.cron import read
from taskhub.schedules.schedule import Misfire, Schedule
from taskhub.schedules.timing import Moment, plan
from taskhub.schedules.writes import Fired, FireSchedule
from uuid_utils import uuid7

from tests.conformance.store.backends import BACKENDS, Hands
from tests.conformance.store.world import World


def say(line: str) -> None:
    """A line for whoever started us, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def migrate(kind: str, path: Path) -> None:
    """Bring the schema up as soon as somebody says so."""
    backend = BACKENDS[kind](path, None)
    say("ready")
    sys.stdin.readline()
    store = backend.store()
    steps = await store.migrate()
    await store.open()
    await store.close()
    say(" ".join(steps))


async def create(kind: str, path: Path) -> None:
    """Make tasks, a few at a time, and say which are stored."""
    backend = BACKENDS[kind](path, None)
    world = World(backend, Hands(), backend.store())
    await world.store.open()
    while True:
        results = await world.do(*(Create(item=world.task(id=str(uuid7()))) for _ in range(3)))
        for result in results:
            assert isinstance(result, Created)
            say(result.item.id)


async def fire(kind: str, path: Path) -> None:
    """Handle what is due, a few due times in a commit, until nothing is."""
    backend = BACKENDS[kind](path, None)
    world = World(backend, Hands(), backend.store())
    await world.store.open()
    while (agenda := await world.store.agenda(9)).due:
        writes = [write for schedule in agenda.due for write in _steps(world, schedule, agenda.now)]
        for result in await world.do(*writes):
            if isinstance(result, Fired):
                say(result.due.isoformat())
    await world.store.close()


def _steps(world: World, schedule: Schedule, now: datetime) -> list[FireSchedule]:
    assert schedule.next_at is not None, "it is due"
    asked = schedule.definition
    cron = read(asked.cron, asked.time_zone)
    steps = plan(cron, Misfire.ALL, Moment(schedule.next_at, now, 0.0), 3)
    return [
        FireSchedule(
            name=asked.name,
            version=schedule.version,
            seen=step.seen,
            due=step.due,
            next_at=step.next,
            item=world.task(id=str(uuid7())),
        )
        for step in steps
    ]


if __name__ == "__main__":
    job, of_kind, place = sys.argv[1:]
    jobs = {"migrate": migrate, "create": create, "fire": fire}
    asyncio.run(jobs[job](of_kind, Path(place)))
