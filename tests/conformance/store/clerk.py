"""A process that works on a store: `python -m tests.conformance.store.clerk JOB KIND PLACE`.

The job `migrate` brings the schema up and opens the store, once a line on stdin lets it begin. The
job `create` makes tasks for ever and prints the id of each that is stored; its starter ends it. The
job `fire` handles everything that is due, prints each due time that it has fired, and ends. The job
`claim` takes all tasks, on several stores at once, and prints the id of each that it has taken.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

from taskhub.model import Owner, Status
from taskhub.ports import Create, Created, Finish, Finished
from taskhub.schedules.cron import read
from taskhub.schedules.schedule import Misfire, Schedule
from taskhub.schedules.timing import Moment, plan
from taskhub.schedules.writes import Fired, FireSchedule
from uuid_utils import uuid7

from tests.conformance.store.backend import Hands
from tests.conformance.store.backends import BACKENDS
from tests.conformance.store.world import BOOT, World


def say(line: str) -> None:
    """A line for whoever started us, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def migrate(kind: str, place: str) -> None:
    """Bring the schema up as soon as somebody says so."""
    backend = BACKENDS[kind].at(place)
    say("ready")
    sys.stdin.readline()
    store = backend.store()
    steps = await store.migrate()
    await store.open()
    await store.close()
    say(" ".join(steps))


async def create(kind: str, place: str) -> None:
    """Make tasks, a few at a time, and say which are stored."""
    backend = BACKENDS[kind].at(place)
    world = World(backend, Hands(), backend.store())
    await world.store.open()
    while True:
        results = await world.do(*(Create(item=world.task(id=str(uuid7()))) for _ in range(3)))
        for result in results:
            assert isinstance(result, Created)
            say(result.item.id)


async def fire(kind: str, place: str) -> None:
    """Handle what is due, a few due times in a commit, until nothing is."""
    backend = BACKENDS[kind].at(place)
    world = World(backend, Hands(), backend.store())
    await world.store.open()
    say("ready")
    sys.stdin.readline()
    while (agenda := await world.store.agenda(9)).due:
        writes = [write for schedule in agenda.due for write in _steps(world, schedule, agenda.now)]
        for result in await world.do(*writes):
            if isinstance(result, Fired):
                say(result.due.isoformat())
    await world.store.close()


async def claim(kind: str, place: str) -> None:
    """Take tasks and end them, on several stores at once, until none is left."""
    backend = BACKENDS[kind].at(place)
    say("ready")
    sys.stdin.readline()
    await asyncio.gather(*(_work(World(backend, Hands(), backend.store())) for _ in range(4)))


async def _work(world: World) -> None:
    await world.store.open()
    owner = Owner(f"{BOOT}/{uuid7()}/a")
    while leases := await world.claim(owner, 10, lease=60.0):
        for lease in leases:
            say(lease.item.id)
        ends = (Finish(id=one.item.id, fence=one.fence, status=Status.DONE) for one in leases)
        assert set(await world.do(*ends)) == {Finished(Status.DONE)}
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
    job, of_kind, at = sys.argv[1:]
    jobs = {"migrate": migrate, "create": create, "fire": fire, "claim": claim}
    asyncio.run(jobs[job](of_kind, at))
