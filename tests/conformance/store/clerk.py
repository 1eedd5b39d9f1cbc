"""A process that works on a store: `python -m tests.conformance.store.clerk JOB KIND PATH`.

The job `migrate` brings the schema up and opens the store, once a line on stdin lets it begin. The
job `create` makes tasks for ever and prints the id of each that is stored; its starter ends it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from taskhub.ports import Create, Created
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


if __name__ == "__main__":
    job, of_kind, place = sys.argv[1:]
    asyncio.run({"migrate": migrate, "create": create}[job](of_kind, Path(place)))
