"""What the statements of schedules cost beside a crowd: counted in steps, never in time."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import pytest

from tests.unit.store.test_plans import CROWD, NOW, connection, steps

__all__ = ["connection"]

SCHEDULES = """
INSERT INTO Schedules (Name, Cron, Title, Type, Queue, NextAt, UpdatedAt, UpdatedBy, Payload,
                       Enabled, LastAt, LastTaskId)
WITH RECURSIVE numbers (N) AS (SELECT 0 UNION ALL SELECT N + 1 FROM numbers WHERE N + 1 < :count)
SELECT printf('%s-%06d', :name, N), '@daily', '', 'simulate', '', :next, 0, '', '{}', :enabled,
       0, 'a-00000001'
  FROM numbers
"""
RUNS = """
INSERT INTO ScheduleRuns (Schedule, DueAt, At, Outcome, TaskId)
WITH RECURSIVE numbers (N) AS (SELECT 0 UNION ALL SELECT N + 1 FROM numbers WHERE N + 1 < :count)
SELECT 'due-000001', N, N, 'fired', 'a-00000001' FROM numbers
"""


def fill(connection: sqlite3.Connection, count: int, name: str) -> None:
    """Schedules that are not due, as many that are paused, and runs of one that have been."""
    for enabled, next_ in ((1, NOW + 1), (0, NOW - 1)):
        values = {"count": count, "name": f"{name}{enabled}", "next": next_, "enabled": enabled}
        connection.execute(SCHEDULES, values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("schedules_next", {}),
        ("schedules_due", {"now": NOW, "limit": 100}),
        ("schedules_ready", {"limit": 100}),
        ("schedule_named", {"name": "due-000001"}),
        ("schedules", {"cursor": "due-", "limit": 3}),
        ("schedule_runs", {"name": "due-000001", "before": 1 << 62, "limit": 11}),
        ("due_known", {"name": "due-000001", "due": 50}),
        ("schedules_of", {"source": "code", "place": "shop.tasks"}),
        ("give_up_waiting", {"name": "due-000001", "reason": "paused", "but": None, "now": 0}),
        ("prune_runs", {"before": 5, "limit": 10}),
    ],
)
def test_a_look_costs_the_same_beside_a_crowd(
    connection: sqlite3.Connection, name: str, values: Mapping[str, object]
) -> None:
    """Ten thousand schedules for tonight, and a million runs of one, cost nothing now."""
    due = {"count": 5, "name": "due", "next": NOW - 1, "enabled": 1}
    connection.execute(SCHEDULES, due)
    fill(connection, 10, "z")
    connection.execute(RUNS, {"count": 100})
    small = steps(connection, name, values)

    fill(connection, CROWD // 4, "zz")
    connection.execute("DELETE FROM ScheduleRuns")
    connection.execute(RUNS, {"count": CROWD})

    assert steps(connection, name, values) < small * 2 + 100
