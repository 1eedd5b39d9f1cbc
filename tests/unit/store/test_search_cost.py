"""What searches cost: the plans of the indexed ones, and that the others stop in time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from string import Template
from typing import Any

import pytest
from taskhub.errors import Busy, StoreDown
from taskhub.finding import TaskQuery
from taskhub.search import parse
from taskhub.store.sqlite import SqliteStore, searching
from taskhub.store.sqlite.conditions import SqliteConditions
from taskhub.store.sqlite.line import FileLine
from taskhub.store.steps import searching as frame
from taskhub.store.steps import walking
from taskhub.store.steps.line import WAITING
from taskhub.store.steps.plan import plan
from taskhub.store.steps.rows import json

from tests.unit.store.test_plans import STATEMENTS, fill
from tests.waiting import until

NOW = 1_767_225_600_000_000
CROWD = 20_000
KINDS = [["Failed", "simulate", "default"], ["Done", "simulate", "default"]]

INDEXED = [
    "",
    "status:failed",
    "status:failed,pending -type:mail.*",
    "type:sim*",
    "queue:default",
    "created:>2026-01-01",
    "age:<1h status:failed",
    "id:019aa1d2*",
    "id:019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21",
    "status:processing",
]
DEEP = [
    "resize",
    "status:failed error:timeout",
    "payload.customer=42",
    "-created:2026-01-01",
    "fingerprint:f00d",
]


@pytest.mark.parametrize("q", INDEXED)
def test_what_an_index_answers_is_not_looked_for(q: str) -> None:
    """It waits behind no search, and reads no more than its page."""
    assert not plan(parse(q), None, SqliteConditions(NOW)).is_deep


@pytest.mark.parametrize("q", DEEP)
def test_what_no_index_answers_is_looked_for_in_windows(q: str) -> None:
    """On a line of its own."""
    assert plan(parse(q), None, SqliteConditions(NOW)).is_deep


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A database in memory with a few rows."""
    from taskhub.store.migrations.upgrade import as_sql

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(as_sql())
        fill(connection, 100, "a", status="Failed")
        fill(connection, 100, "b", status="Done")
        yield connection


def steps(connection: sqlite3.Connection, text: str, values: dict[str, Any]) -> int:
    """Steps of SQLite's machine that one run takes, in tens."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 10)
    connection.execute(text, values).fetchall()
    connection.set_progress_handler(None, 10)
    return count


def asked(q: str, name: str, **more: object) -> tuple[str, dict[str, Any]]:
    """A statement of a search as it is sent."""
    way = plan(parse(q), None, SqliteConditions(NOW))
    text = Template(STATEMENTS[name]).substitute(kind=way.kind or "1", where=way.where)
    bounds = {"before_id": way.before_id, "since_id": way.since_id, "floor_id": way.since_id}
    return text, way.values | bounds | {"limit": 51, "window": 1_000, "most": 5_000} | more


@pytest.mark.parametrize(
    ("q", "name", "more"),
    [
        ("", "names_by_id", {}),
        ("status:failed", "kinds_of", {}),
        ("status:failed", "names_by_kind", {"kinds": json(KINDS[:1])}),
        ("type:simulate", "names_by_kind", {"kinds": json(KINDS)}),
        ("status:processing", "names_by_kind", {"kinds": "[]"}),
        ("status:processing", "count_by_kind", {"kinds": "[]"}),
        ("id:a-00000001", "names_by_name", {"ids": '["a-00000001"]'}),
        ("error:timeout status:failed", "end_by_kind", {"kinds": json(KINDS[:1])}),
        ("resize", "end_by_id", {}),
        ("fingerprint:f00d", "names_by_mark", {"marks": '["f00d"]'}),
        ("fingerprint:f00d", "end_by_mark", {"marks": '["f00d"]'}),
    ],
)
def test_an_indexed_search_costs_the_same_in_a_big_table(
    connection: sqlite3.Connection, q: str, name: str, more: dict[str, Any]
) -> None:
    """Counted in steps, never in time."""
    if q.startswith("id:"):
        text, values = asked("", name, **more)  # the names of these rows are no ids
    else:
        text, values = asked(q, name, **more)
    fill(connection, 1_100, "m")
    small = steps(connection, text, values)

    for number, status in enumerate(("Failed", "Done", "Pending")):
        fill(connection, CROWD // 2, f"big{number}", status=status)

    assert steps(connection, text, values) < small * 2 + 300


@pytest.mark.parametrize("shape", ["names", "count"])
@pytest.mark.parametrize("source", ["by_id", "by_kind", "by_name", "by_mark"])
@pytest.mark.parametrize("q", [*INDEXED, *DEEP, "queue:a,b title:x runAt:<1h payload.a>1"])
def test_no_search_goes_through_the_whole_table(
    connection: sqlite3.Connection, q: str, source: str, shape: str
) -> None:
    """Every statement enters `Tasks` by a key, whatever is asked; those that run are few."""
    text, values = asked(q, f"{shape}_{source}", kinds=json(KINDS), ids="[]", marks='["f00d"]')
    plan_lines = [line for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]

    touched = [line for line in plan_lines if "Tasks" in line or " one " in line]
    assert touched
    scans = [line for line in touched if line.startswith("SCAN")]
    assert [line for line in scans if not line.endswith("Tasks_Leases")] == [], plan_lines
    assert not [line for line in plan_lines if "AUTOMATIC" in line]


def test_no_word_of_a_search_becomes_sql(connection: sqlite3.Connection) -> None:
    """Texts are parameters; what stands in the statement is ours."""
    evil = "'; DROP TABLE Tasks; --"
    quoted = f'"{evil}"'
    q = f"title:{quoted} type:{quoted} payload.{quoted}={quoted} error={quoted}* id:1*"

    text, values = asked(q, "names_by_id")

    assert "DROP" not in text
    assert connection.execute(text, values).fetchall() == []
    assert connection.execute("SELECT count(*) FROM Tasks").fetchone() == (200,)


# ---- the line -----------------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store on an empty database."""
    store = SqliteStore(tmp_path / "tasks.db")
    await store.migrate()
    await store.open()
    yield store
    await store.close()


async def test_a_list_waits_behind_no_search(store: SqliteStore) -> None:
    """A search that hangs holds up other searches, and nothing else."""
    import threading

    gate = threading.Event()
    stuck = asyncio.ensure_future(store._searcher._deep.do(lambda _: gate.wait(30)))
    try:
        assert (await store.find(TaskQuery(where=parse("status:failed")))).items == []
        assert not stuck.done()
    finally:
        gate.set()
        await stuck


async def test_too_many_searches_are_refused_at_once(store: SqliteStore) -> None:
    """Busy, so 503 with Retry-After; those in the line are answered."""
    import threading

    gate = threading.Event()
    line = store._searcher._deep
    waiting = [asyncio.ensure_future(line.do(lambda _: gate.wait(30))) for _ in range(WAITING)]
    await until(lambda: line.waiting == WAITING)
    try:
        with pytest.raises(Busy):
            await store.find(TaskQuery(where=parse("resize")))
    finally:
        gate.set()
        await asyncio.gather(*waiting)
    assert (await store.find(TaskQuery(where=parse("resize")))).items == []


async def test_work_that_takes_too_long_is_interrupted(store: SqliteStore) -> None:
    """Whoever waits for it, or behind it; the line goes on with the next."""
    line = store._searcher._deep
    forever = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )

    late = asyncio.ensure_future(line.do(lambda db: db.execute(forever).fetchall(), 0.01))
    next_one = line.do(lambda db: db.execute("SELECT 1").fetchall())

    assert await next_one == [(1,)]
    with pytest.raises(StoreDown):
        await late


async def test_a_search_that_is_slow_everywhere_gets_on(
    tmp_path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows that take too long are left and made smaller, down to one task; none is missed."""
    monkeypatch.setattr(searching, "WINDOW_SECONDS", 0.05)
    monkeypatch.setattr(walking, "SECONDS", 0.1)
    payload = '{"text":"%s"}' % ("a" * 10_000)
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as db:
        fill(db, 12, "019aa1d2")
        db.execute("UPDATE Tasks SET Payload = ?", (payload,))
        db.execute("UPDATE Tasks SET Payload = '{\"text\":\"ab\"}' WHERE Id LIKE '%-00000000'")
    where = parse("payload.text~" + "a" * 100 + "b,ab")
    pages, items, cursor = 0, 0, None

    while pages == 0 or cursor is not None:
        page = await store.find(TaskQuery(where=where, cursor=cursor))
        assert page.next is None or cursor is None or page.next < cursor
        pages, items, cursor = pages + 1, items + len(page.items), page.next

    assert items == 1
    assert pages > 1


async def test_what_an_index_answers_slowly_is_looked_for_in_windows(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that crawls must not make a page of nothing, over and over."""
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as db:
        fill(db, 60, "019aa1d2")
    at_once, sizes = searching._at_once, []

    def crawling(statements: Any, walk: walking.Walk, connection: sqlite3.Connection) -> Any:
        sizes.append(walk.window)
        if len(sizes) == 1:
            error = sqlite3.OperationalError("interrupted")
            error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
            raise error
        return at_once(statements, walk, connection)

    monkeypatch.setattr(searching, "_at_once", crawling)
    page = await store.find(TaskQuery(where=parse("type:simulate"), limit=50))
    rest = await store.find(TaskQuery(where=parse("type:simulate"), limit=50, cursor=page.next))

    assert (len(page.items), len(rest.items), rest.next) == (50, 10, None)
    assert sizes[1] < sizes[0]


async def test_a_page_of_large_tasks_is_cut_before_it_fills_memory(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read task by task; the first always comes, and none is passed over."""
    monkeypatch.setattr(frame, "PAGE_SIZE", 1_000)
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as db:
        fill(db, 4, "019aa1d2")
        db.execute("UPDATE Tasks SET Payload = ?", (json("x" * 600),))
    seen: list[str] = []
    cursor = None

    for _ in range(4):
        page = await store.find(TaskQuery(cursor=cursor, limit=3))
        seen += [item.id for item in page.items]
        assert (len(page.items), page.stopped) == (1, False)
        cursor = page.next

    assert cursor is None
    assert seen == sorted(set(seen), reverse=True)


async def test_a_closed_store_says_so(store: SqliteStore) -> None:
    """And may be opened again."""
    await store.close()

    with pytest.raises(StoreDown):
        await store.find(TaskQuery())

    await store.open()
    assert (await store.find(TaskQuery())).items == []


async def test_a_replaced_file_is_read_anew(tmp_path: Path, store: SqliteStore) -> None:
    """A backup that was put back, for one."""
    assert (await store.find(TaskQuery())).items == []
    other = SqliteStore(tmp_path / "other.db")
    await other.migrate()
    with closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None)) as db:
        fill(db, 1, "019aa1d2")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "other.db").replace(tmp_path / "tasks.db")

    assert len((await store.find(TaskQuery())).items) == 1


async def test_a_file_that_is_gone_is_trouble(tmp_path: Path) -> None:
    """503, not a crash."""
    line = FileLine(tmp_path / "nothing.db", "test")
    line.open()
    try:
        with pytest.raises(StoreDown):
            await line.do(lambda connection: connection.execute("SELECT 1"))
    finally:
        await line.close()
