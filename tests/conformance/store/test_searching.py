"""Searches: what they find is what their words say, whichever way the store takes to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from taskhub.failures import cause_of
from taskhub.finding import TaskQuery
from taskhub.model import Status, TaskId, TaskItem
from taskhub.search import Query, parse, printed

from tests.conformance.store.backend import Backend, Hands
from tests.conformance.store.backends import BACKENDS
from tests.conformance.store.judge import matches
from tests.conformance.store.world import World
from tests.unit.search.asking import queries

TITLES = ("Resize images", "GRÖSSE ändern", "100% [done]?", "a*b\\c", "", "x\ny", "größe")
PAYLOADS = (
    b'{"customer":42,"tags":["red","blue"],"nested":{"deep":[{"ok":true}]}}',
    b'{"customer":"42","when":"2026-01-05","first name":"Bob","stra\\u00dfe":1}',
    b'{"customer":42.5,"none":null,"flag":false,"stra\xc3\x9fe":"Gr\xc3\xb6\xc3\x9fe"}',
    b"[1,[2,3]]",
    b'"text"',
    b'{"customer":-1e3,"big":123456789012345678901234567890,"a":"x*y"}',
)
ENDS = (None, Status.DONE, Status.FAILED, Status.CANCELLED, Status.PROCESSING)
MARKS = [
    cause_of(kind, exception).fingerprint
    for kind in ("image.resize", "image.crop")
    for exception in ("ValueError", "KeyError")
]
ERRORS = ("Timeout after 3 s", "no picture", "TIMEOUT: ÄRGER")


async def furnish(world: World) -> list[TaskItem]:
    """Tasks of every sort, oldest first."""
    ids = []
    for number in range(36):
        world.hands.advance(600.25)
        lease = await _one(world, number)
        ids.append(lease)
    return await world.store.get(ids)


async def _one(world: World, number: int) -> TaskId:
    fields: dict[str, Any] = {
        "title": TITLES[number % len(TITLES)],
        "type": ("image.resize", "image.crop", "mail.send")[number % 3],
        "queue": ("a", "b")[number % 2],
        "group_key": (None, "customer-1", "Ärger & Söhne")[number % 3],
        "priority": number % 5 - 2,
        "payload": msgspec.Raw(PAYLOADS[number % len(PAYLOADS)]),
        "created_by": ("alice", "Bob")[number % 2],
        "run_at": world.hands.now + timedelta(seconds=number % 4 * 60),
    }
    (task,) = await world.add(**fields)
    end = ENDS[number % len(ENDS)]
    if end is None:
        return task
    world.hands.advance(200)
    kinds = ("image.resize", "image.crop", "mail.send")
    for lease in await world.claim(types=kinds, queues=[str(fields["queue"])]):
        if lease.item.id == task and end is not Status.PROCESSING:
            cause = cause_of(lease.item.type, ("ValueError", "KeyError")[number % 2])
            failed = {"error": ERRORS[number % 3], "cause": cause} if end is Status.FAILED else {}
            await world.finish(lease, end, result=b'{"ok":true,"n":3}', **failed)
    return task


async def found(world: World, query: Query, limit: int = 7, reads: int = 1_000) -> list[TaskId]:
    """The ids of all pages; each page says where the next one begins."""
    ids: list[TaskId] = []
    cursor = None
    while True:
        page = await world.store.find(
            TaskQuery(where=query, cursor=cursor, limit=limit, reads=reads)
        )
        ids += [item.id for item in page.items]
        assert len(page.items) <= limit
        assert page.next is None or cursor is None or page.next < cursor
        assert not page.stopped or (page.next is not None and len(page.items) < limit)
        if page.next is None:
            return ids
        cursor = page.next


@pytest.fixture
async def furnished(world: World) -> tuple[World, list[TaskItem]]:
    """A world with tasks of every sort."""
    return world, await furnish(world)


SEARCHES = (
    "",
    "status:failed",
    "status:failed,done type:image.*",
    "-status:done",
    "-status:done,processing -type:mail.send",
    "type:image.resize queue:a",
    "type~IMAGE",
    "queue:a,b type:*.*",
    "groupKey:customer-1 status:failed",
    'groupKey:"Ärger & Söhne",customer-1',
    "groupKey:ärger*",
    "groupKey~ÄRGER",
    "groupKey:*",
    "-groupKey:customer-*",
    "error:~timeout",
    "-error:timeout",
    "error:*",
    "fingerprint:*",
    "-fingerprint:*",
    f"fingerprint:{MARKS[0]},{MARKS[1]}",
    f"fingerprint:{MARKS[0]} status:failed queue:a",
    f"fingerprint:{MARKS[0]} -status:failed",
    f"-fingerprint:{MARKS[0]}",
    f"fingerprint~{MARKS[0][2:9]}",
    f"fingerprint:{MARKS[0][:6]}*",
    "error:ärger",
    'error="no picture"',
    "größe",
    "GRÖSSE",
    'title="resize images"',
    "title=res*",
    '"100% [done]?"',
    "title:done",
    r"a\*b",
    r'"a*b\\c"',
    'title=""',
    'title="x\ny"',
    "priority:>0",
    "priority:-2,2",
    "-priority:0",
    "attempts:>0 maxAttempts:3",
    "createdBy:alice",
    "createdBy:ALICE",
    "createdBy:~ALICE",
    "created:2026-01-01",
    "created:>=2026-01-01T03:00:00Z created:<2026-01-01T05:00:00Z",
    "created:2026-01-01T00:10:00Z",
    "created:2026-01-01T00:10:00.250000Z",
    "-created:<2026-01-01T04:00:00Z",
    "age:>2h",
    "age:<=1h status:pending,failed",
    "created:>-1h",
    "runAt:>-10m",
    "finished:<3h",
    "finished:*",
    "-finished:*",
    "started:>1h -status:failed",
    "payload.customer=42",
    'payload.customer="42"',
    "payload.customer>42",
    "payload.customer<0",
    "-payload.customer:*",
    "payload.none=null",
    "payload.flag=false",
    "payload.nested.deep[0].ok:true",
    "payload.tags[1]=b*",
    'payload."first name"~BOB',
    "payload.straße:*",
    "payload.straße~GRÖ",
    "payload.when>=2026-01-02 payload.when<2026-02",
    'payload.a="x*y"',
    "payload.big>1e20",
    "payload.big>1e999",
    "payload.customer=1e999",
    "payload[1][0]=2",
    "result.n:3",
    "result.n=null",
    "-result.ok:true",
    "status:failed error:timeout age:>1h payload.customer=42,43 -queue:b",
    "id:0199*,019b*",
)


async def test_a_search_finds_what_it_says(furnished: tuple[World, list[TaskItem]]) -> None:
    """Newest first, page by page, at any cost and at the least, counted and by id."""
    world, items = furnished
    for q in SEARCHES:
        query = parse(q)
        wanted = [item.id for item in reversed(items) if matches(query, item, world.hands.now)]

        assert await found(world, query) == wanted, q
        assert await found(world, query, limit=50, reads=3) == wanted, q
        assert (await world.store.find_ids(TaskQuery(where=query))).ids == wanted, q
        assert (await world.store.count(TaskQuery(where=query))).count == len(wanted), q


def test_the_searches_above_are_no_idle_words() -> None:
    """Each is another one."""
    assert len({printed(parse(q)) for q in SEARCHES}) == len(SEARCHES)


async def test_a_search_for_ids_needs_no_others(furnished: tuple[World, list[TaskItem]]) -> None:
    """Some that are there, one that is not; by the beginning, too."""
    world, items = furnished
    some = [items[3].id, items[20].id]
    query = parse(f"id:{','.join(some)},019b0000-0000-7000-8000-000000000000")

    assert await found(world, query, reads=1) == some[::-1]
    assert await found(world, query & parse(f"-id:{some[0]}")) == [some[1]]
    assert await found(world, parse(f"id:{items[5].id[:20]}*")) == [items[5].id]


def test_any_search_finds_what_it_says(kind: str, new_backend: Callable[[str], Backend]) -> None:
    """Whatever can be asked: store and judge say the same, and nothing ever breaks."""
    hands = Hands()
    backend = new_backend("any")
    world = World(backend, hands, backend.store(hands))
    with asyncio.Runner() as runner:
        runner.run(world.store.open())
        items = runner.run(furnish(world))
        try:
            _compare(runner, world, items, int(400 * BACKENDS[kind].share))
        finally:
            runner.run(world.store.close())


def _compare(
    runner: asyncio.Runner, world: World, items: Sequence[TaskItem], searches: int
) -> None:
    @given(queries)
    @settings(
        max_examples=searches, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def same(query: Query) -> None:
        wanted = [item.id for item in reversed(items) if matches(query, item, world.hands.now)]
        assert runner.run(found(world, query)) == wanted
        counted = runner.run(world.store.count(TaskQuery(where=query)))
        assert counted.count == len(wanted)

    same()


async def test_a_search_that_looks_far_stops_and_says_so(world: World) -> None:
    """No items yet, and a cursor to go on with; the next question goes on from there."""
    (first,) = await world.add(title="needle")
    await world.add(30)
    query = TaskQuery(where=parse("needle"), reads=10)

    page = await world.store.find(query)
    rest = await found(world, parse("needle"), reads=10)

    assert (list(page.items), page.stopped) == ([], True)
    assert page.next is not None
    assert page.next > first
    assert rest == [first]


async def test_a_count_that_looks_far_stops_and_says_so(world: World) -> None:
    """What was counted, and where to go on."""
    await world.add(25)
    query = TaskQuery(where=parse("resize"), reads=10)

    counts = [await world.store.count(query)]
    while (cursor := counts[-1].next) is not None:
        counts.append(
            await world.store.count(TaskQuery(where=parse("resize"), reads=10, cursor=cursor))
        )

    assert len(counts) > 1
    assert sum(count.count for count in counts) == 25


async def test_pages_of_a_search_stay_put_while_others_write(world: World) -> None:
    """New tasks push nothing onto the next page; each task comes once."""
    tasks = await world.add(6)
    page = await world.store.find(TaskQuery(where=parse("resize"), limit=2))
    await world.add(3)

    rest = await world.store.find(TaskQuery(where=parse("resize"), limit=9, cursor=page.next))

    assert [item.id for item in page.items] == tasks[:3:-1]
    assert [item.id for item in rest.items] == tasks[3::-1]


async def test_a_document_that_is_none_breaks_no_search(world: World) -> None:
    """Whoever wrote it: the task is simply not found by it."""
    (bad, good) = await world.add(2)
    world.backend.run("UPDATE Tasks SET Payload = '{\"a\":' WHERE Id = ?", bad)

    assert await found(world, parse("payload.seconds:0.05")) == [good]
