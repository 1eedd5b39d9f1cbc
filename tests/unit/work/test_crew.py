"""Handlers that compute: one in each process, the others in line; who is killed is killed alone."""

from __future__ import annotations

import asyncio

import pytest
from taskhub.attempts import Released, StopReason
from taskhub.model import Status, TaskId
from taskhub.ports import Finish
from taskhub.work.crew import Crew

from tests.unit.work.making import attempt
from tests.unit.work.test_lane import _World
from tests.waiting import turns

IDS = [TaskId(f"018f0000-0000-7000-8000-{number:012x}") for number in range(3)]


async def test_who_does_not_stop_dies_alone_and_the_next_in_line_takes_the_place() -> None:
    """The neighbour goes on in its own process; what waited had not begun, so it lost nothing."""
    worlds = [_World(), _World()]
    crew = Crew([world.lane for world in worlds])
    blocks, waits = (
        attempt("blocks-thread", task_id=IDS[0]),
        attempt("waits", task_id=IDS[1], timeout=60),
    )
    speaks = attempt("speaks", {"name": "ada"}, task_id=IDS[2], timeout=60)
    try:
        blocked = asyncio.create_task(crew.run(blocks))
        await worlds[1].said.next(20)
        waiting = asyncio.create_task(crew.run(waits))
        await worlds[0].said.next(20)
        third = asyncio.create_task(crew.run(speaks))
        await turns()
        assert not third.done()

        crew.stop(blocks, StopReason.TIMEOUT)
        killed = await blocked

        assert isinstance(killed, Finish)
        assert (killed.status, killed.suspect) == (Status.PENDING, False)
        assert "was killed" in str(killed.error)
        spoken = await third
        assert isinstance(spoken, Finish)
        assert spoken.status is Status.DONE
        assert not waiting.done()
        assert worlds[0].changes("killed") == []
        crew.stop(waits, StopReason.DRAIN)
        assert await waiting == Released()
    finally:
        await crew.close()


@pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.DRAIN])
async def test_who_waits_in_line_is_stopped_at_once(reason: StopReason) -> None:
    """No process is started for it, and the line goes on."""
    world = _World()
    crew = Crew([world.lane])
    first, second = attempt("waits", task_id=IDS[0], timeout=60), attempt("waits", task_id=IDS[1])
    try:
        running = asyncio.create_task(crew.run(first))
        await world.said.next(20)
        in_line = asyncio.create_task(crew.run(second))
        await turns()

        crew.stop(second, reason)
        ended = await in_line

        if reason is StopReason.DRAIN:
            assert ended == Released()
        else:
            assert isinstance(ended, Finish)
            assert ended.status is Status.CANCELLED
        assert len(world.changes("spawned")) == 1
        crew.stop(first, StopReason.DRAIN)
        await running
    finally:
        await crew.close()
