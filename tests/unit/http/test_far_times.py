"""Times at both ends of the calendar: stored, shown and searched like all others."""

from __future__ import annotations

import pytest

from tests.unit.http.house import House

ENDS = ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"]


@pytest.mark.parametrize("time", ENDS)
async def test_a_task_may_be_due_at_any_time(house: House, time: str) -> None:
    """Long ago is now; the last microsecond is kept."""
    made = await house.create(runAt=time)

    assert made["runAt"] == time
    assert (await house.ask("GET", f"/tasks/{made['id']}")).json["runAt"] == time


@pytest.mark.parametrize("time", ENDS)
async def test_any_time_bounds_a_page(house: House, time: str) -> None:
    """No range is an error: it is empty, or it is not."""
    await house.create()

    since = await house.ask("GET", f"/tasks?createdFrom={time}")
    before = await house.ask("GET", f"/tasks?createdTo={time}")

    assert (since.status, before.status) == (200, 200)
    assert len(since.json["items"]) + len(before.json["items"]) == 1
