"""What a store remembers of what has happened: in order, whole, and honest about what is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
from taskhub.model import EventType, PastEvent, Status, TaskId
from taskhub.ports import EventQuery, Progress, Prune

from tests.conformance.store.world import World


async def told(world: World, after: int = 0, task: TaskId | None = None) -> list[PastEvent]:
    """The events after a Seq."""
    return list((await world.store.events(EventQuery(after=after, task=task))).items)


async def pruned(world: World, limit: int = 1_000) -> None:
    """Delete what is older than now."""
    now = world.hands.now
    old = now - timedelta(days=9)
    await world.do(Prune(tasks_before=old, events_before=now, audit_before=old, limit=limit))


async def test_an_event_holds_what_happened_to_which_task_and_when(world: World) -> None:
    """Whoever hears of it needs no second question."""
    (task,) = await world.add(title="Zoë\u2019s", type="resize", queue="images")

    assert await told(world) == [
        PastEvent(
            seq=1,
            type=EventType.CREATED,
            id=task,
            at=world.hands.now,
            title="Zoë\u2019s",
            kind="resize",
            queue="images",
        )
    ]


async def test_the_life_of_a_task_is_told_in_order_with_its_words(world: World) -> None:
    """Progress as the handler said it, an error where an attempt has failed."""
    lease = await world.running()
    said = b'{"fraction":0.5,"text":"half"}'
    await world.do(Progress(id=lease.item.id, fence=lease.fence, data=said))
    await world.finish(lease, Status.PENDING, error="no \u201cluck\u201d", run_at=world.hands.now)
    (again,) = await world.claim()
    await world.finish(again)

    events = await told(world)

    assert [event.type.removeprefix("Task") for event in events] == [
        *("Created", "Started", "Progress", "Retrying", "Started", "Done")
    ]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[2].data == said.decode()
    assert msgspec.json.decode(events[3].data or "") == {"error": "no \u201cluck\u201d"}
    assert {event.data for event in (*events[:2], *events[4:])} == {None}


async def test_reading_goes_on_where_it_ended(world: World) -> None:
    """Page by page, no event twice, none left out; the last page is empty."""
    await world.add(7)
    seen: list[int] = []
    while True:
        after = seen[-1] if seen else 0
        page = await world.store.events(EventQuery(after=after, limit=3))
        assert (page.oldest, page.newest) == (1, 7)
        if not page.items:
            break
        seen += [event.seq for event in page.items]

    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_the_history_of_one_task_is_its_own(world: World) -> None:
    """Others come in between; the reach is that of the table, so one may go on live from there."""
    first, second = await world.add(2)
    for lease in await world.claim():
        await world.finish(lease)

    page = await world.store.events(EventQuery(task=first))
    rest = await told(world, after=page.items[0].seq, task=first)

    assert [event.type for event in page.items] == ["TaskCreated", "TaskStarted", "TaskDone"]
    assert {event.id for event in page.items} == {first}
    assert page.newest == 6
    assert rest == list(page.items[1:])
    assert await told(world, task=TaskId("nobody")) == []
    assert {event.id for event in await told(world, task=second)} == {second}


async def test_an_empty_store_reaches_nowhere(world: World) -> None:
    """No events, and no number that a reader could go on from."""
    page = await world.store.events(EventQuery(after=9))

    assert (list(page.items), page.oldest, page.newest) == ([], 0, 0)


async def test_a_reader_sees_that_events_were_pruned(world: World) -> None:
    """The oldest number says it: what it has not read from before is gone."""
    await world.add(5)
    world.hands.advance(10)
    await pruned(world, limit=3)

    page = await world.store.events(EventQuery(after=1))

    assert (page.oldest, page.newest) == (4, 5)
    assert [event.seq for event in page.items] == [4, 5]


async def test_the_newest_event_stays_so_that_who_has_seen_it_misses_nothing(world: World) -> None:
    """After a quiet week a listener goes on as if nothing had been deleted: nothing of its was."""
    await world.add(3)
    world.hands.advance(10)
    await pruned(world)
    await world.add()

    page = await world.store.events(EventQuery(after=3))

    assert (page.oldest, page.newest) == (3, 4)
    assert [event.seq for event in page.items] == [4]


async def test_an_event_outlives_its_task(world: World) -> None:
    """The task's own words are gone with it; that it happened is still true."""
    lease = await world.running()
    await world.finish(lease)
    world.hands.advance(10)
    now = world.hands.now
    long_ago = now - timedelta(days=9)
    await world.do(Prune(tasks_before=now, events_before=long_ago, audit_before=long_ago))

    events = await told(world)

    assert [event.id for event in events] == [lease.item.id] * 3
    assert {(event.title, event.kind, event.queue) for event in events} == {(None, None, None)}


async def test_numbers_appear_in_order_while_others_write(world: World) -> None:
    """Who has read up to a number never finds a lower one later: that would be a gap."""
    other = world.backend.store(world.hands)
    await other.open()
    seen: list[int] = []

    async def read(until: int) -> None:
        while len(seen) < until:
            after = seen[-1] if seen else 0
            seen.extend(event.seq for event in await told(world, after=after))

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read(120))
            for _ in range(20):
                twin = World(world.backend, world.hands, other, numbers=world.numbers)
                await asyncio.gather(world.add(3), twin.add(3))
    finally:
        await other.close()

    assert seen == list(range(1, 121))
