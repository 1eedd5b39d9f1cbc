"""Acts on many tasks at once: what they change, what they leave, and what the audit log keeps."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.audit import Audit
from taskhub.bulk import Act, Acted, Bulk, allowed
from taskhub.finding import TaskQuery
from taskhub.model import Status, TaskId

from tests.conformance.store.world import World

AUDIT = Audit(message="type:resize", actor="olga", address="192.0.2.1", request_id="r1")


async def of_each_status(world: World) -> dict[str, TaskId]:
    """A task in each state, and one that is asked to stop already."""
    done, failed, cancelled, running, told = [await world.running() for _ in range(5)]
    await world.finish(done)
    await world.finish(failed, Status.FAILED, error="no")
    await world.finish(cancelled, Status.CANCELLED)
    await act(world, Act.CANCEL, told.item.id)
    (pending,) = await world.add()
    world.told()
    names = ("Done", "Failed", "Cancelled", "Processing", "told")
    leases = (done, failed, cancelled, running, told)
    return {"Pending": pending} | {
        name: lease.item.id for name, lease in zip(names, leases, strict=True)
    }


async def act(world: World, what: Act, *ids: TaskId) -> Acted:
    """Do it."""
    result = await world.one(Bulk(act=what, ids=ids, audit=AUDIT))
    assert isinstance(result, Acted)
    return result


async def statuses(world: World, tasks: dict[str, TaskId]) -> dict[str, Any]:
    """The state of each task that is still there."""
    found = {item.id: item for item in await world.store.get(list(tasks.values()))}
    return {name: found[task].status.value for name, task in tasks.items() if task in found}


async def test_a_bulk_cancel_ends_what_waits_and_asks_what_runs(world: World) -> None:
    """What has ended stays so; who was asked before is not asked again."""
    tasks = await of_each_status(world)

    acted = await act(world, Act.CANCEL, *tasks.values(), TaskId("nobody"))

    assert acted == Acted(changed=2, skipped=5, stopping=1)
    now = await statuses(world, tasks)
    assert now == {name: name for name in now} | {"Pending": "Cancelled", "told": "Processing"}
    assert (await world.item(tasks["Processing"])).cancel_requested
    assert world.told() == [("TaskCancelled", tasks["Pending"])]


async def test_a_bulk_retry_begins_anew(world: World) -> None:
    """As a single one does: all attempts, no error, due at once."""
    tasks = await of_each_status(world)

    acted = await act(world, Act.RETRY, *tasks.values())

    assert acted == Acted(changed=2, skipped=4)
    item = await world.item(tasks["Failed"])
    assert (item.status, item.attempts, item.error) == (Status.PENDING, 0, None)
    assert sorted(world.told()) == sorted(
        ("TaskRetrying", tasks[name]) for name in ("Failed", "Cancelled")
    )
    assert {tasks["Failed"], tasks["Cancelled"]} <= {lease.item.id for lease in await world.claim()}


async def test_a_bulk_delete_takes_only_what_has_ended(world: World) -> None:
    """What waits or runs must be cancelled first; the history stays."""
    tasks = await of_each_status(world)
    history = len(world.backend.rows("Events"))

    acted = await act(world, Act.DELETE, *tasks.values())

    assert acted == Acted(changed=3, skipped=3)
    assert set(await statuses(world, tasks)) == {"Pending", "Processing", "told"}
    assert len(world.backend.rows("Events")) == history
    assert await act(world, Act.DELETE, *tasks.values()) == Acted(0, 6)


async def test_one_entry_of_the_audit_log_tells_of_all(world: World) -> None:
    """In the same transaction: who, from where, by which request, which search, how many."""
    ids = await world.add(3)

    await act(world, Act.CANCEL, *ids, ids[0])

    (entry,) = world.backend.rows("Audit")
    assert entry["Message"] == "bulk cancel: 3 changed, 0 skipped: type:resize"
    assert (entry["Actor"], entry["Address"], entry["RequestId"]) == ("olga", "192.0.2.1", "r1")
    assert entry["TaskId"] is None


async def test_a_claim_beside_a_bulk_act_sees_what_it_has_done(world: World) -> None:
    """Two acts and a claim of one commit: what was cancelled is not handed out."""
    from taskhub.ports import Claim, Claimed

    from tests.conformance.store.world import LEASE, TYPES, A

    ids = await world.add(2)
    claim = Claim(owner=A, limit=9, lease=LEASE, types=TYPES)

    results = await world.do(claim, Bulk(act=Act.CANCEL, ids=ids[:1], audit=AUDIT))

    assert isinstance(results[0], Claimed)
    assert [lease.item.id for lease in results[0].leases] == [ids[1]]


@pytest.mark.parametrize("what", list(Act))
async def test_the_search_for_an_act_finds_what_allows_it(world: World, what: Act) -> None:
    """So that a count beforehand is what the act then changes, but for what moves meanwhile."""
    tasks = await of_each_status(world)
    query = TaskQuery(where=allowed(what))

    count = (await world.store.count(query)).count
    ids = (await world.store.find_ids(query)).ids
    acted = await act(world, what, *ids)

    assert acted.changed + acted.skipped == count == len(ids)
    assert acted.skipped == (1 if what is Act.CANCEL else 0)
    assert set(ids) <= set(tasks.values())
