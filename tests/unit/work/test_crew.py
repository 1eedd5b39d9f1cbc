"""Handlers that compute: one in each process, the others in line; who is killed is killed alone."""

from __future__ import annotations

import asyncio

import pytest
from taskhub.attempts import Released, StopReason
from taskhub.model import Status, TaskId
from taskhub.ports import Finish
from taskhub.work.crew import WINDOW, Crew

from tests.unit.work.making import attempt
from tests.unit.work.test_lane import _World
from tests.waiting import turns, until

IDS = [TaskId(f"018f0000-0000-7000-8000-{number:012x}") for number in range(40)]


async def test_who_does_not_stop_dies_alone_and_the_next_in_line_takes_the_place() -> None:
    """The neighbour goes on in its own process; what waited had not begun, so it lost nothing."""
    worlds = [_World(), _World()]
    crew = Crew([world.lane for world in worlds], Started())
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
    crew = Crew([world.lane], Started())
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


class Started(set[TaskId]):
    """A ledger in memory."""

    start, end = set.add, set.discard


async def _brisk(crew: Crew, *ids: TaskId) -> None:
    """Let the crew know how short these are."""
    for each in ids:
        await crew.run(attempt("notes", task_id=each))
    crew._takes["notes"] = 1e-4  # whatever else this machine is at


async def test_while_tasks_are_short_several_are_sent_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a type that nobody has seen, and of a long one, no process has more than one in hand."""
    monkeypatch.setattr("taskhub.work.crew.PATIENCE", 10.0)
    world = _World()
    started = Started()
    crew = Crew([world.lane], started)
    try:
        first = [asyncio.create_task(crew.run(attempt("notes", task_id=each))) for each in IDS[:4]]
        await turns()
        unknown, blamed = world.in_hand(), set(started)
        ended = [await each for each in first]
        await _brisk(crew, IDS[39])
        more = [asyncio.create_task(crew.run(attempt("notes", task_id=each))) for each in IDS]
        await turns(2)
        known = world.in_hand()
        ended += [await each for each in more]
    finally:
        await crew.close()

    assert (unknown, known) == (1, WINDOW)
    assert blamed == {IDS[0]}  # should this process die now: the others wait in line
    assert {each.status for each in ended if isinstance(each, Finish)} == {Status.DONE}
    assert world.notes() == [*IDS[:4], IDS[39], *IDS]


async def test_what_waits_behind_a_long_one_goes_to_another_process_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A type is short until it is not: nobody waits where one blocks its loop, while another is
    idle.
    """
    monkeypatch.setattr("taskhub.work.crew.PATIENCE", 0.2)
    worlds, started = [_World(), _World()], Started()
    crew = Crew([world.lane for world in worlds], started)
    busy, long = (
        attempt("waits", task_id=IDS[1]),
        attempt("notes", {"blocks": True}, task_id=IDS[2]),
    )
    short = [attempt("notes", task_id=each) for each in IDS[3:9]]
    try:
        occupied = asyncio.create_task(crew.run(busy))
        await worlds[1].said.next(20)
        await _brisk(crew, IDS[0])
        blocked, *behind = [asyncio.create_task(crew.run(each)) for each in (long, *short)]
        await turns(3)
        assert worlds[0].in_hand() == 7
        await worlds[0].said.next()
        await worlds[0].said.next()
        await until(lambda: started & set(IDS[1:]) == {busy.id, long.id})
        crew.stop(busy, StopReason.DRAIN)
        ended = await asyncio.gather(*behind)

        assert {each.status for each in ended if isinstance(each, Finish)} == {Status.DONE}
        assert worlds[1].notes() == IDS[3:9]
        assert not blocked.done()
        assert await occupied == Released()
    finally:
        await crew.close()
    assert await blocked == Released()


async def test_a_poison_pill_costs_what_was_sent_behind_it_nothing() -> None:
    """They run once, in the next process, in the same attempt."""
    world = _World()
    crew = Crew([world.lane], Started())
    try:
        await _brisk(crew, IDS[0])
        poison = attempt("notes", {"dies": True}, task_id=IDS[1])
        ended = await asyncio.gather(
            *(crew.run(attempt("notes", task_id=each)) for each in IDS[2:6]),
            crew.run(poison),
            *(crew.run(attempt("notes", task_id=each)) for each in IDS[6:20]),
        )
    finally:
        await crew.close()

    wrong = [each for each in ended if isinstance(each, Finish) and each.status is not Status.DONE]
    assert [(each.id, each.error, each.suspect) for each in wrong] == [
        (IDS[1], "its process died (exit code 9)", False)
    ]
    assert world.notes() == [IDS[0], *IDS[2:6], IDS[1], *IDS[6:20]]
    assert len(world.changes("spawned")) == 2
