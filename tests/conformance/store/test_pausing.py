"""Pausing queues and types: seen by the claims of the same commit, told to nobody twice."""

from __future__ import annotations

import pytest
from taskhub.audit import Audit
from taskhub.model import Status, TypeInfo
from taskhub.ports import Claim, Claimed, Finish, Missing, Register, Result, Takeover, Touched
from taskhub.queues import Line, LineState, Pause, QueueState

from tests.conformance.store.world import LEASE, TYPES, A, World


def pause(line: Line, name: str, *, paused: bool = True) -> Pause:
    """What an operator asks for."""
    audit = Audit(message=f"{paused} {line} {name}", actor="olga")
    return Pause(line=line, name=name, paused=paused, audit=audit)


async def known(world: World) -> None:
    """A worker has registered its types."""
    await world.do(Register(types=[TypeInfo(name) for name in TYPES]))


@pytest.mark.parametrize("group", [None, "acme"])
@pytest.mark.parametrize(("line", "name"), [(Line.QUEUE, "images"), (Line.TYPE, "resize")])
async def test_what_is_paused_waits_and_goes_on_when_it_is_resumed(
    world: World, line: Line, name: str, group: str | None
) -> None:
    """The rest of the queues and types never waits; keys change nothing."""
    await known(world)
    (held,) = await world.add(queue="images", type="resize", group_key=group)
    (free,) = await world.add(group_key=group)

    assert await world.one(pause(line, name)) == Touched(1)
    assert [lease.item.id for lease in await world.claim()] == [free]
    assert await world.store.next_due() is None

    assert await world.one(pause(line, name, paused=False)) == Touched(1)
    assert await world.store.next_due() == 0.0
    assert [lease.item.id for lease in await world.claim()] == [held]


@pytest.mark.parametrize(("line", "name"), [(Line.QUEUE, "images"), (Line.TYPE, "resize")])
async def test_a_claim_of_the_same_commit_sees_the_pause(
    world: World, line: Line, name: str
) -> None:
    """Whichever of the two stands first: who was told that it is paused sees nothing begin."""
    await known(world)
    await world.add(queue="images", type="resize")
    claim = Claim(owner=A, limit=9, lease=LEASE, types=TYPES)

    for writes in ((claim, pause(line, name)), (pause(line, name), claim)):
        claimed: list[Result] = [r for r in await world.do(*writes) if isinstance(r, Claimed)]
        assert claimed == [Claimed([])]


async def test_suspects_wait_too(world: World) -> None:
    """A paused queue hands out nothing, whatever the task has done."""
    lease = await world.running(queue="images")
    await world.do(Takeover(owner=A, started=[lease.item.id]), pause(Line.QUEUE, "images"))

    assert not await world.claim(suspects=True)


async def test_what_runs_goes_on_in_a_paused_queue(world: World) -> None:
    """It may end there; a retry of it waits."""
    lease = await world.running(queue="images")
    await world.one(pause(Line.QUEUE, "images"))
    assert await world.store.standing(Line.QUEUE, "images") == LineState(
        "images", paused=True, processing=1
    )

    await world.one(Finish(id=lease.item.id, fence=lease.fence, status=Status.PENDING))

    assert await world.store.standing(Line.QUEUE, "images") == LineState(
        "images", paused=True, processing=0
    )
    assert not await world.claim()


async def test_only_what_changes_something_is_in_the_audit_log(world: World) -> None:
    """An operator who asks twice has acted once."""
    first, again, resume = (pause(Line.QUEUE, "images", paused=n < 2) for n in range(3))

    results = [await world.one(write) for write in (first, again, resume, resume)]

    assert results == [Touched(1), Touched(0), Touched(1), Touched(0)]
    entries = [(row["Message"], row["Actor"]) for row in world.backend.rows("Audit")]
    assert entries == [("True queue images", "olga"), ("False queue images", "olga")]


async def test_a_type_that_nobody_knows_cannot_be_paused(world: World) -> None:
    """It would be a slip; a queue may be paused before its first task."""
    assert await world.one(pause(Line.TYPE, "rezise")) == Missing()
    assert await world.store.standing(Line.TYPE, "rezise") is None
    assert await world.one(pause(Line.QUEUE, "later")) == Touched(1)
    assert world.backend.rows("Audit")[0]["Message"] == "True queue later"


async def test_a_worker_that_starts_does_not_resume_a_type(world: World) -> None:
    """It registers its types again, perhaps with another schema."""
    await known(world)
    await world.one(pause(Line.TYPE, "resize"))
    await world.do(Register(types=[TypeInfo("resize", {"type": "object"})]))
    await world.add(type="resize")

    assert not await world.claim()
    standing = await world.store.standing(Line.TYPE, "resize")
    assert standing == LineState("resize", paused=True, processing=0)


async def test_queues_are_listed_with_what_waits_and_runs(world: World) -> None:
    """Also those that are paused and empty; not those where nothing is left."""
    await world.finish(await world.running(queue="ended"))
    await world.running(queue="b")
    await world.add(2, queue="b")
    world.hands.advance(2.5)
    await world.one(pause(Line.QUEUE, "a"))

    assert await world.store.queues() == [
        QueueState("a", paused=True),
        QueueState("b", paused=False, pending=2, processing=1, oldest_seconds=2.5),
    ]
