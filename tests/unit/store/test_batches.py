"""Batches on SQLite: few statements however many writes, and what goes in comes out."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from taskhub.audit import Audit
from taskhub.keys import IdempotencyKey, Told
from taskhub.model import EventType, Owner, Status, TaskId, TaskItem, TypeInfo
from taskhub.ports import (
    Cancel,
    Claim,
    Create,
    Finish,
    Progress,
    Register,
    Release,
    Renew,
    Requeue,
    Write,
)
from taskhub.store.sqlite import SqliteStore
from taskhub.store.sqlite.transaction import Insert
from taskhub.store.steps.hand import Hand
from taskhub.store.steps.ids import first_id_at

NOW = datetime(2026, 1, 1, 12, 30, 15, 123_457, tzinfo=UTC)
MANY = 200


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An open store."""
    store = SqliteStore(tmp_path / "taskhub.db")
    await store.migrate()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def task(number: int, **fields: object) -> TaskItem:
    """A task with a number for an id."""
    plain: dict[str, object] = {
        "id": TaskId(f"{number:036d}"),
        "title": "Zoë \u202e \U0001f600",
        "type": "simulate",
        "queue": "default",
        "priority": 0,
        "status": Status.PENDING,
        "payload": msgspec.Raw(b'{"a": [1.50, "\\u0000", null],  "b":18446744073709551616}'),
        "result": None,
        "error": None,
        "progress": None,
        "attempts": 0,
        "max_attempts": 3,
        "timeout_seconds": 60.0,
        "cancel_requested": False,
        "created_at": NOW,
        "updated_at": NOW,
        "run_at": NOW + timedelta(microseconds=number),
        "started_at": None,
        "finished_at": None,
        "created_by": "user-1",
    }
    return TaskItem(**(plain | fields))  # type: ignore[arg-type]


async def test_a_task_comes_back_as_it_went_in(store: SqliteStore) -> None:
    """To the microsecond and to the byte, the payload's own spelling included."""
    item = task(1, timeout_seconds=0.25, priority=-7)

    await store.commit([Create(item=item)])

    assert await store.get([item.id]) == [item]


BATCHES: dict[str, Callable[[int], Write]] = {
    "create": lambda n: Create(item=task(1_000 + n)),
    "create with a key": lambda n: Create(
        item=task(2_000 + n),
        key=IdempotencyKey(
            principal="p",
            key=str(n),
            request_hash="h",
            answer=Told(201, b""),
            expires_at=NOW.replace(year=2999),
        ),
    ),
    "finish": lambda n: Finish(id=task(n).id, fence=1, status=Status.DONE, result=b"1"),
    "progress": lambda n: Progress(id=task(n).id, fence=1, data=b"1"),
    "release": lambda n: Release(held=[(task(n).id, 1)]),
    "cancel": lambda n: Cancel(id=task(n).id),
    "requeue": lambda n: Requeue(id=task(n).id),
}


@pytest.mark.parametrize("kind", BATCHES)
async def test_a_batch_costs_few_statements_however_many_writes(
    store: SqliteStore, kind: str
) -> None:
    """Each statement is a trip through the interpreter and its lock: never one for each row.

    What inserts rows with many columns may take one statement for each power of two.
    """
    await store.commit([Create(item=task(number)) for number in range(MANY)])
    claim = Claim(owner=Owner("b/u/n"), limit=MANY, lease=15.0, types=["simulate"])
    await store.commit([claim])
    statements: list[str] = []
    store._writing.connect().set_trace_callback(statements.append)

    await store.commit([BATCHES[kind](number) for number in range(MANY)])

    texts = {text.lstrip()[:40] for text in statements}
    assert len(statements) <= (16 if kind != "create with a key" else 16 + MANY), texts


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 1_000])
def test_many_rows_go_in_in_their_order(count: int) -> None:
    """Whatever their number, all of them, once."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE T (A INTEGER PRIMARY KEY, B)")
        Insert("INSERT INTO T (B) VALUES (?)").run(connection, [(n,) for n in range(count)])

        found = connection.execute("SELECT B FROM T ORDER BY A").fetchall()

    assert found == [(number,) for number in range(count)]


async def test_events_are_kept_in_the_order_in_which_they_are_told(
    store: SqliteStore, tmp_path: Path
) -> None:
    """What is published and what a listener resumes from is one story; errors are told too."""
    items = [task(number) for number in range(3)]
    told = list((await store.commit([Create(item=item) for item in items])).events)
    claim = Claim(owner=Owner("b/u/n"), limit=9, lease=15.0, types=["simulate"])
    told += (await store.commit([claim])).events
    ends: Sequence[Write] = [
        Finish(id=items[0].id, fence=1, status=Status.DONE),
        Finish(id=items[1].id, fence=1, status=Status.FAILED, error="no"),
        Finish(id=items[2].id, fence=1, status=Status.PENDING),
    ]
    told += (await store.commit(ends)).events

    with closing(sqlite3.connect(tmp_path / "taskhub.db")) as connection:
        kept = connection.execute("SELECT Type, TaskId, Data FROM Events ORDER BY Seq").fetchall()
    assert [row[:2] for row in kept] == [(event.type.value, event.id) for event in told]
    assert [row[2] for row in kept if row[0] == EventType.FAILED] == ['{"error":"no"}']
    assert all(event.title == items[0].title for event in told)


async def test_every_kind_of_write_fits_into_one_batch(store: SqliteStore) -> None:
    """A mailbox holds what came: all kinds at once, an answer for each."""
    await store.commit([Create(item=task(1))])
    writes: list[Write] = [
        Claim(owner=Owner("b/u/n"), limit=1, lease=15.0, types=["simulate"]),
        Audit(message="heartbeat", actor="a"),
        Register(types=[TypeInfo("simulate")]),
        Renew(held=[(task(1).id, 1)], lease=1.0),
        *(make(7) for make in BATCHES.values()),
    ]

    assert len((await store.commit(writes)).results) == len(writes)
    assert (await store.commit([])).results == []


@pytest.mark.parametrize("micros", [0, 1_767_225_600_123_456, (1 << 48) * 1_000 - 1])
def test_ids_of_a_time_lie_between_its_bounds(micros: int) -> None:
    """Also when the clock beside the id was a little off."""
    millis = f"{micros // 1_000:012x}"
    made = f"{millis[:8]}-{millis[8:]}-7abc-8def-0123456789ab"

    assert first_id_at(micros, later=False) <= made
    assert first_id_at(micros, later=True) > made or micros > 1 << 57


async def test_a_hand_does_its_calls_in_order_and_ends() -> None:
    """Errors go to who asked; what nobody waits for any more is done all the same."""
    hand, done = Hand("test"), list[int]()
    given_up = hand.call(done.append, 1)
    given_up.cancel()
    with pytest.raises(ZeroDivisionError):
        await hand.call(divmod, 1, 0)
    last = hand.call(done.append, 2)

    await hand.close()

    assert last.done()
    assert done == [1, 2]
    assert asyncio.all_tasks() == {asyncio.current_task()}
