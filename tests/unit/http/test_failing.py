"""GET /tasks/failures, GET /tasks/{id}/attempts, and the backoff of a new task."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.backoff import Backoff
from taskhub.failures import cause_of
from taskhub.model import Lease, Owner, Status
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import House, bearer

PAY = cause_of("simulate", "ValueError", "shop.orders:pay", "the stack")


async def claim(house: House) -> Lease:
    """Take the task that waits."""
    wish = Claim(owner=Owner("h/worker-1/n"), limit=1, lease=15.0, types=("simulate",))
    (claimed,) = await house.put(wish)
    assert isinstance(claimed, Claimed)
    return claimed.leases[0]


async def end(house: House, status: Status, **fields: Any) -> str:
    """A new task that is claimed and ended."""
    await house.create()
    lease = await claim(house)
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=status, **fields))
    return lease.item.id


async def test_attempts_are_shown_with_their_errors(house: House) -> None:
    """The failed ones, and after them the one that runs."""
    task = await end(house, Status.PENDING, error="ValueError: no", cause=PAY)
    lease = await claim(house)

    failed, running = (await house.ask("GET", f"/tasks/{task}/attempts")).json["items"]

    assert failed == {
        "attempt": 1,
        "end": "Failed",
        "startedAt": failed["startedAt"],
        "endedAt": failed["endedAt"],
        "worker": "worker-1",
        "error": "ValueError: no",
        "fingerprint": PAY.fingerprint,
        "exception": "ValueError",
        "place": "shop.orders:pay",
        "trace": "the stack",
    }
    assert (running["attempt"], running["end"], running["endedAt"]) == (2, "Running", None)
    assert lease.item.attempts == 2


@pytest.mark.parametrize(
    ("status", "shown"),
    [(Status.DONE, ["Done"]), (Status.FAILED, ["Failed"]), (Status.CANCELLED, ["Cancelled"])],
)
async def test_the_last_attempt_is_shown_once(
    house: House, status: Status, shown: list[str]
) -> None:
    """However it ended."""
    task = await end(house, status)

    items = (await house.ask("GET", f"/tasks/{task}/attempts")).json["items"]

    assert [item["end"] for item in items] == shown


async def test_a_task_that_never_ran_has_no_attempts(house: House) -> None:
    """And one that is not there is 404."""
    task = await house.create()

    assert (await house.ask("GET", f"/tasks/{task['id']}/attempts")).json == {"items": []}
    unknown = "/tasks/019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21/attempts"
    assert (await house.ask("GET", unknown)).status == 404


async def test_failures_are_shown_in_groups_page_by_page(house: House) -> None:
    """The cursor of a page leads to the next, whatever the type is called."""
    task = await end(house, Status.FAILED, error="no", cause=PAY)
    await end(house, Status.FAILED, error="no", cause=cause_of("simulate", "KeyError"))
    await end(house, Status.FAILED, error="no")

    pages, query = [], "?limit=1"
    while True:
        page = (await house.ask("GET", f"/tasks/failures{query}")).json
        pages += page["items"]
        if page["next"] is None:
            break
        query = f"?limit=1&cursor={page['next']}"

    assert [group["exception"] for group in pages] == [None, "KeyError", "ValueError"]
    assert pages[-1]["samples"] == [task]
    assert (pages[-1]["count"], pages[-1]["place"]) == (1, "shop.orders:pay")
    assert [group["fingerprint"] is None for group in pages] == [True, False, False]


async def test_a_failed_task_shows_its_fingerprint_and_is_found_by_it(house: House) -> None:
    """From the group to its tasks."""
    task = await end(house, Status.FAILED, error="no", cause=PAY)
    await end(house, Status.FAILED, error="no")

    found = (await house.ask("GET", f"/tasks?q=fingerprint:{PAY.fingerprint}")).json["items"]

    assert [(item["id"], item["fingerprint"]) for item in found] == [(task, PAY.fingerprint)]


@pytest.mark.parametrize("query", ["cursor=1", "cursor=1-x-simulate", "since=now", "type=-", "q=x"])
async def test_a_query_that_means_nothing_is_refused(house: House, query: str) -> None:
    """With what was expected."""
    reply = await house.ask("GET", f"/tasks/failures?{query}")

    assert (reply.status, reply.json["type"]) == (400, "urn:taskhub:problem:bad-query")


async def test_who_may_not_read_learns_nothing(house: House) -> None:
    """As everywhere."""
    headers = bearer(scope="tasks.write")

    assert (await house.ask("GET", "/tasks/failures", headers=headers)).status == 403


async def test_a_task_may_bring_its_own_backoff(house: House) -> None:
    """What is not said is as usual; the worker is given it."""
    made = await house.create(backoff={"base": 5, "cap": 60})

    assert made["backoff"] == {"base": 5.0, "factor": 2.0, "cap": 60.0, "jitter": 0.2}
    assert (await house.ask("GET", f"/tasks/{made['id']}")).json["backoff"] == made["backoff"]
    assert (await claim(house)).item.backoff == Backoff(base=5, cap=60)


@pytest.mark.parametrize(
    "backoff",
    [{"base": -1}, {"factor": 0}, {"jitter": 2}, {"cap": 1e12}, {"often": 1}, 5, None, []],
)
async def test_a_backoff_that_makes_no_sense_is_refused(house: House, backoff: Any) -> None:
    """With the member and the rule."""
    reply = await house.ask("POST", "/tasks", json={"title": "a task", "backoff": backoff})

    assert reply.status == 422
    (error,) = reply.json["errors"]
    assert error["pointer"] == "/backoff"
    assert "base and cap" in error["detail"]
