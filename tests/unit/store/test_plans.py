"""What the statements cost: counted in steps of SQLite's machine, never in time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from taskhub.failures import fingerprint
from taskhub.store.migrations.upgrade import as_sql
from taskhub.store.sql import load

STATEMENTS = load("taskhub.store.sqlite")
NOW = 1_000_000
CROWD = 20_000
LOST = {"rows": "[]", "now": 0, "kept": 50, "error": "", "exception": "", "suspect": 0}
FILL = """
INSERT INTO Tasks (Id, Title, Type, Queue, Priority, MaxAttempts, TimeoutSeconds, RunAt, CreatedAt,
                   UpdatedAt, CreatedBy, Payload, Status, Suspect)
WITH RECURSIVE numbers (N) AS (SELECT 0 UNION ALL SELECT N + 1 FROM numbers WHERE N + 1 < :count)
SELECT printf('%s-%08d', :name, N), '', :type, :queue, N % 3, 3, 1.0, :run_at, N, N, '', '{}',
       :status, 0 FROM numbers
"""
PLAIN = {"type": "simulate", "queue": "default", "run_at": NOW - 1, "status": "Pending"}

CROWDS: dict[str, dict[str, Any]] = {
    "of the future": {"run_at": NOW + 1},
    "of an unknown type": {"type": "exotic"},
    "in a paused queue": {"queue": "paused"},
    "that have ended": {"status": "Done"},
    "that have failed": {"status": "Failed"},
}

GROUPS = dict.fromkeys(("type", "last", "mark", "of")) | {"since": -1, "limit": 5, "most": 1_000}
DUE = {"types": '["simulate","resize"]', "queues": None, "full": None, "now": NOW, "limit": 5}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A database in memory with ten tasks that are due."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.create_function("fingerprint", 3, fingerprint, deterministic=True)
        connection.executescript(as_sql())
        connection.execute("INSERT INTO Queues VALUES ('paused', 1, 0, '')")
        fill(connection, 10, "a")
        yield connection


def fill(connection: sqlite3.Connection, count: int, name: str, **fields: object) -> None:
    """So many rows more."""
    connection.execute(FILL, PLAIN | {"count": count, "name": name} | fields)
    connection.execute(
        "INSERT INTO Events (At, Type, TaskId) SELECT 0, 'TaskCreated', Id FROM Tasks"
        " WHERE Id >= :name || '-' AND Id < :name || '.'",
        {"name": name},
    )
    connection.execute(
        "INSERT INTO UniqueKeys (Type, Key, TaskId, ExpiresAt) SELECT Type, 'key:' || Id, Id,"
        " CASE WHEN Id LIKE '%5' THEN 10 END FROM Tasks"
        " WHERE Id >= :name || '-' AND Id < :name || '.'",
        {"name": name},
    )


def steps(connection: sqlite3.Connection, name: str, values: Mapping[str, object]) -> int:
    """Steps of the machine that one run of the statement takes, in tens."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 10)
    connection.execute(STATEMENTS[name], values).fetchall()
    connection.set_progress_handler(None, 10)
    return count


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_claim_costs_the_same_beside_a_crowd_it_cannot_take(
    connection: sqlite3.Connection, crowd: str
) -> None:
    """A million tasks for next month must not slow down those of today."""
    alone = steps(connection, "due", DUE)

    fill(connection, CROWD, "b", **CROWDS[crowd])

    assert steps(connection, "due", DUE) < alone * 2 + 100


def test_a_claim_takes_the_same_steps_beside_any_number_of_tasks_for_later(
    connection: sqlite3.Connection,
) -> None:
    """Flat, not merely slow to grow: each look is a seek, and a claim makes a fixed number."""
    fill(connection, 1_000, "b", run_at=NOW + 1)
    few = steps(connection, "due", DUE)

    fill(connection, CROWD, "c", run_at=NOW + 1)

    assert abs(steps(connection, "due", DUE) - few) <= 1  # they are counted in tens


def test_a_claim_seeks_and_reads_no_row_that_is_not_due(connection: sqlite3.Connection) -> None:
    """As the database itself explains it: by the claim's index alone, down to the due time."""
    plan = connection.execute(f"EXPLAIN QUERY PLAN {STATEMENTS['due']}", DUE).fetchall()

    lines = [line for *_, line in plan if " Tasks " in line]
    assert [line for line in lines if "RunAt<?" in line]
    assert all(line.startswith("SEARCH") for line in lines), lines
    assert all("Tasks_Claim" in line or "rowid=?" in line for line in lines), lines


def test_a_claim_takes_its_few_out_of_many(connection: sqlite3.Connection) -> None:
    """Twenty thousand that could be taken cost no more than ten."""
    alone = steps(connection, "due", DUE)

    fill(connection, CROWD, "b")

    assert steps(connection, "due", DUE) < alone * 2 + 100


GROUP = """
UPDATE Tasks SET Suspect = 2, GroupKey = printf('k%05d', substr(Id, -8) % :keys)
 WHERE Id >= :name || '-' AND Id < :name || '.'
"""
TURNS = DUE | {"walk": 100, "limits": '[["default",1,null,0]]'}


def fill_groups(connection: sqlite3.Connection, count: int, name: str, keys: int) -> None:
    """So many tasks more, of so many keys."""
    fill(connection, count, name)
    connection.execute(GROUP, {"keys": keys, "name": name})


@pytest.mark.parametrize("limits", ["[]", TURNS["limits"]])
@pytest.mark.parametrize(("few", "many"), [(10, 10), (3_000, 10_000)])
def test_a_claim_by_turns_costs_the_same_however_many_wait(
    connection: sqlite3.Connection, limits: str, few: int, many: int
) -> None:
    """Neither the tasks of a noisy key nor ten thousand keys are gone through."""
    fill_groups(connection, 3_000, "t", few)
    alone = steps(connection, "due_in_turn", TURNS | {"limits": limits})
    found = connection.execute(STATEMENTS["due_in_turn"], TURNS | {"limits": limits}).fetchall()

    fill_groups(connection, CROWD, "u", many)

    assert len(found) == DUE["limit"]
    assert steps(connection, "due_in_turn", TURNS | {"limits": limits}) < alone * 2 + 100


def test_a_claim_by_turns_goes_by_seeks_alone(connection: sqlite3.Connection) -> None:
    """Each line of its plan that reads tasks looks something up."""
    plan = connection.execute(f"EXPLAIN QUERY PLAN {STATEMENTS['due_in_turn']}", TURNS).fetchall()

    lines = [line for *_, line in plan if "Tasks" in line or "Starts" in line]
    assert len(lines) > 8
    assert [line for line in lines if not line.startswith("SEARCH")] == []


def test_tasks_with_keys_are_no_crowd_for_the_others(connection: sqlite3.Connection) -> None:
    """They are in an index of their own."""
    alone = steps(connection, "due", DUE)

    fill_groups(connection, CROWD, "t", 50)

    assert steps(connection, "due", DUE) < alone * 2 + 100
    assert steps(connection, "next_in_turn", {}) < 100
    assert steps(connection, "any_in_turn", {}) < 10


@pytest.mark.parametrize("crowd", [{"run_at": NOW - 2}, {"run_at": NOW + 1}])
def test_what_is_before_a_task_is_counted_to_a_bound(
    connection: sqlite3.Connection, crowd: dict[str, Any]
) -> None:
    """Who asks why the last of a million tasks waits holds nobody up."""
    fill(connection, CROWD, "b", **crowd)
    values = {"id": "a-00000000", "now": NOW, "most": 100, "since": 0, "key_since": 0}
    few = steps(connection, "circumstances", values)

    fill(connection, CROWD, "c", **crowd)

    assert steps(connection, "circumstances", values) <= few + 20
    assert few < 500


def test_the_count_of_steps_sees_a_scan(connection: sqlite3.Connection) -> None:
    """The control: reading all rows costs what the bound above would never allow."""
    fill(connection, CROWD, "b", **CROWDS["of the future"])

    everything = {"most": CROWD}
    assert steps(connection, "counts", everything) > steps(connection, "due", DUE) * 10


def test_the_depths_of_queues_are_counted_to_a_bound(connection: sqlite3.Connection) -> None:
    """Each look of an operator, and of the metrics, costs the same before a million that wait."""
    bound = {"most": 100}
    fill(connection, 1_000, "b", run_at=NOW + 1)
    few = steps(connection, "counts", bound)

    fill(connection, CROWD, "c", run_at=NOW - 2)

    assert steps(connection, "counts", bound) <= few + 50


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("next_due", {}),
        ("events", {"after": 20, "limit": 10}),
        ("history", {"task": "a-00000001", "after": 0, "limit": 10}),
        ("owners", {}),
        ("get", {"ids": '["a-00000001"]'}),
        ("queue_standing", {"name": "default"}),
        ("type_standing", {"name": "simulate"}),
        ("failure_groups", GROUPS),
        ("failure_groups", GROUPS | {"type": "simulate", "since": 0, "last": NOW}),
        ("failure_group", {"type": "simulate", "mark": "", "counted": 10}),
        ("failure_samples", {"type": "simulate", "mark": "", "samples": 3}),
        ("attempts", {"task": "a-00000001"}),
        ("holders", {"keys": '[["simulate","key:a-00000001"]]', "now": 0}),
        ("parents", {"tasks": '["a-00000001"]', "each": 10, "all": 20}),
        ("children", {"parent": "a-00000001", "before_id": "~", "limit": 10}),
        ("close", {"ended": '[["a-00000001","Done"]]', "room": 10}),
        ("take_up", {"most": 10}),
        ("prune_unique_keys", {"now": 5, "limit": 10}),
        ("expire_results", {"now": 5, "limit": 10}),
        ("wished_cancels", {}),
        ("prune_tasks", {"before": NOW, "before_id": "", "limit": 10}),
    ],
)
def test_reading_costs_the_same_in_a_big_table(
    connection: sqlite3.Connection, name: str, values: Mapping[str, object]
) -> None:
    """The first page, the last one, and what the scheduler asks each second."""
    for number, crowd in enumerate(CROWDS.values()):
        fill(connection, 100, f"{number}", **crowd)
    small = steps(connection, name, values)

    for number, crowd in enumerate(CROWDS.values()):
        fill(connection, CROWD // 4, f"big{number}", **crowd)

    assert steps(connection, name, values) < small * 2 + 100


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("finish", {"ended": "[]", "now": 0, "status": "Done", "refund": 0, "suspect": 0}),
        ("progress", {"news": "[]", "now": 0}),
        ("renew", {"held": "[]", "until": 0}),
        ("release", {"held": "[]", "now": 0}),
        ("claim", {"rows": "[]", "owner": "", "until": 0, "now": 0}),
        ("failed", {"failed": "[]", "now": 0, "kept": 50}),
        ("lost", LOST),
        ("free", LOST),
        ("cancel", {"ids": "[]", "now": 0}),
        ("requeue", {"ids": "[]", "now": 0}),
        ("hold", {"held": "[]"}),
        ("hold_again", {"ids": "[]"}),
        ("decide", {"heirs": "[]", "now": 0, "exception": ""}),
    ],
)
def test_changes_find_their_rows_by_key(
    connection: sqlite3.Connection, name: str, values: Mapping[str, object]
) -> None:
    """From the list to the rows, never through the table or a whole index."""
    plan = connection.execute(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", values).fetchall()

    lines = [line for *_, line in plan if "Tasks" in line]
    assert lines
    assert all("Tasks_1 (Id=?)" in line or "rowid=?" in line for line in lines), plan
    assert not [line for line in lines if line.startswith("SCAN")]


@pytest.mark.parametrize("name", ["sweep", "takeover", "cancels"])
def test_looking_for_lost_leases_reads_the_running_tasks_only(
    connection: sqlite3.Connection, name: str
) -> None:
    """Once a second in each process."""
    names = {"owner", "boot", "held", "living", "lease", "boottime", "now", "started"}
    values = dict.fromkeys(names, "[]")
    alone = steps(connection, name, values)

    fill(connection, CROWD, "b")

    assert steps(connection, name, values) <= alone + 2


def test_an_end_looks_for_who_waits_by_one_seek(connection: sqlite3.Connection) -> None:
    """Most tasks have nobody after them: their outcomes pay for a look into an index, no more."""
    ended = {"ended": json.dumps([[f"a-{n:08}", "Done"] for n in range(10)]), "room": 10}
    plan = connection.execute(f"EXPLAIN QUERY PLAN {STATEMENTS['close']}", ended).fetchall()
    alone = steps(connection, "close", ended)

    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "INSERT INTO Waits (TaskId, Place, Parent) "
        "SELECT 'child-' || i, 0, 'other-' || i FROM n"
    )

    assert steps(connection, "any_waits", {}) < 5
    lines = [line for *_, line in plan if line.startswith("SEARCH one")]
    assert lines == ["SEARCH one USING INDEX Waits_Open (Parent=?)"]
    assert steps(connection, "close", ended) <= alone + 2
    assert alone < 50  # they are counted in tens: a few dozen for each of ten tasks


AUDIT = "INSERT INTO Audit (At, Message, Actor, TaskId) VALUES (?, ?, ?, ?)"
NEWEST = {"since": 0, "before": 1 << 62, "before_id": 0, "text": "", "limit": 11}
BEATS = NEWEST | {"text": "heartbeat", "actor": None, "task": None}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("audit_acts", NEWEST),
        ("audit_acts", NEWEST | {"before": 500, "before_id": 7}),
        ("audit_acts_of", NEWEST | {"actor": "olga"}),
        ("audit_acts_of", NEWEST | {"actor": "nobody"}),
        ("audit_of_task", NEWEST | {"task": "t-3", "actor": None}),
        ("audit_heartbeats", BEATS),
        ("audit_heartbeats", BEATS | {"before": CROWD // 2}),
    ],
)
def test_an_entry_of_the_audit_log_is_found_beside_a_crowd_of_heartbeats(
    connection: sqlite3.Connection, name: str, values: Mapping[str, object]
) -> None:
    """Ninety days of them are millions; what a person did is found at once."""
    acts = [(10 * n, "cancel", "olga", f"t-{n}") for n in range(100)]
    beats = [(n, "heartbeat", f"worker-{n % 3}", None) for n in range(CROWD)]
    connection.executemany(AUDIT, acts)
    connection.executemany(AUDIT, beats[:100])
    small = steps(connection, name, values)

    connection.executemany(AUDIT, beats[100:])

    assert steps(connection, name, values) < small * 2 + 100
