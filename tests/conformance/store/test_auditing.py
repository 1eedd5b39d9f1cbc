"""The audit log as it is read: newest first, page by page, by who, by what, by when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from taskhub.audit import Audit, AuditQuery
from taskhub.model import TaskId

from tests.conformance.store.world import World

ONE, TWO = TaskId("one"), TaskId("two")


async def history(world: World) -> None:
    """Ten seconds apart: two people, two tasks, and heartbeats between."""
    for act, actor, task in (
        ("cancel", "alice", ONE),
        ("retry", "olga", ONE),
        ("restart worker-1/pool", "olga", None),
        ("cancel", "olga", TWO),
    ):
        await world.do(
            Audit(message="heartbeat", actor="worker-1"),
            Audit(message="heartbeat", actor="tree"),
            Audit(message=act, actor=actor, task_id=task, address="192.0.2.1", request_id="r"),
        )
        world.hands.advance(10)


async def messages(world: World, **query: Any) -> list[str]:
    """What the entries say, of all pages of two."""
    found: list[str] = []
    cursor = None
    while True:
        page = await world.store.audit(AuditQuery(**query, limit=2, cursor=cursor))
        found += [entry.message for entry in page.items]
        assert len(page.items) <= 2
        if page.next is None:
            return found
        last = page.items[-1]
        assert page.next[1] == last.id
        cursor = page.next


async def test_acts_are_newest_first_and_heartbeats_do_not_drown_them(world: World) -> None:
    """A process leaves 8,640 marks a day, a person some."""
    await history(world)

    assert await messages(world) == ["cancel", "restart worker-1/pool", "retry", "cancel"]
    assert await messages(world, text="heartbeat") == ["heartbeat"] * 8
    assert await messages(world, text="heartbeat", actor="tree") == ["heartbeat"] * 4


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"actor": "olga"}, ["cancel", "restart worker-1/pool", "retry"]),
        ({"actor": "olga", "text": "cancel"}, ["cancel"]),
        ({"actor": "worker-1"}, []),
        ({"task_id": ONE}, ["retry", "cancel"]),
        ({"task_id": ONE, "actor": "alice"}, ["cancel"]),
        ({"task_id": ONE, "text": "re"}, ["retry"]),
        ({"task_id": TaskId("none")}, []),
        ({"text": "re"}, ["restart worker-1/pool", "retry"]),
        ({"text": "restart worker-1/pool"}, ["restart worker-1/pool"]),
        ({"text": "RE"}, []),
        ({"text": "%"}, []),
        ({"text": "heart"}, []),
    ],
    ids=str,
)
async def test_filters_work_alone_and_together(
    world: World, query: dict[str, Any], found: list[str]
) -> None:
    """Whatever they say, on every page."""
    await history(world)

    assert await messages(world, **query) == found


async def test_since_counts_and_before_does_not(world: World) -> None:
    """Two halves of a day have no entry in common and none between them."""
    start = world.hands.now
    await history(world)
    noon = start + timedelta(seconds=20)

    assert await messages(world, since=noon) == ["cancel", "restart worker-1/pool"]
    assert await messages(world, before=noon) == ["retry", "cancel"]
    assert await messages(world, since=start, before=noon, actor="olga") == ["retry"]
    assert await messages(world, before=start) == []


async def test_an_entry_is_read_as_it_was_written(world: World) -> None:
    """Who, what, when, on what, from where, by which request; a heartbeat has less to say."""
    now = world.hands.now
    await history(world)

    page = await world.store.audit(AuditQuery(task_id=ONE, text="cancel"))
    beat = (await world.store.audit(AuditQuery(text="heartbeat", limit=1))).items[0]

    (entry,) = page.items
    assert (entry.at, entry.message, entry.actor, entry.task_id) == (now, "cancel", "alice", ONE)
    assert (entry.address, entry.request_id) == ("192.0.2.1", "r")
    assert (beat.task_id, beat.address, beat.request_id) == (None, None, None)


async def test_pages_stay_put_while_others_act(world: World) -> None:
    """What was done since the first page comes on no later page; one moment has an order too."""
    await world.do(*(Audit(message=f"act {number}", actor="a") for number in range(5)))
    first = await world.store.audit(AuditQuery(limit=3))
    await world.do(Audit(message="act 5", actor="a"))

    second = await world.store.audit(AuditQuery(limit=3, cursor=first.next))

    assert [entry.message for entry in first.items] == ["act 4", "act 3", "act 2"]
    assert [entry.message for entry in second.items] == ["act 1", "act 0"]
    assert second.next is None
