"""Acts on single tasks, keys that make asking twice harmless, the audit log, types, old rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from taskhub.audit import Audit
from taskhub.keys import IdempotencyKey, Kept, KeyReused, Replayed, Told
from taskhub.model import Status, TaskId, TypeInfo
from taskhub.ports import (
    Cancel,
    Changed,
    Create,
    Created,
    Finish,
    Missing,
    Prune,
    Pruned,
    Refused,
    Register,
    Requeue,
    Result,
    Takeover,
    Touched,
    Unchanged,
    Write,
)

from tests.conformance.store.world import A, World


async def test_a_waiting_task_is_cancelled_at_once(world: World) -> None:
    """It never starts."""
    (task,) = await world.add()

    result = await world.one(Cancel(id=task))

    assert isinstance(result, Changed)
    assert result.item == await world.item(task)
    assert (result.item.status, result.item.finished_at) == (Status.CANCELLED, world.hands.now)
    assert world.told()[-1] == ("TaskCancelled", task)
    assert not await world.claim()


async def test_a_running_task_is_only_flagged(world: World) -> None:
    """Its worker stops it; asking again is answered alike."""
    lease = await world.running()
    world.told()

    for _ in range(2):
        result = await world.one(Cancel(id=lease.item.id))
        assert isinstance(result, Changed)
        assert (result.item.status, result.item.cancel_requested) == (Status.PROCESSING, True)
    assert world.told() == []


@pytest.mark.parametrize("end", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_an_ended_task_cannot_be_cancelled(world: World, end: Status) -> None:
    """The answer shows how it ended."""
    lease = await world.running()
    await world.finish(lease, end)

    result = await world.one(Cancel(id=lease.item.id))

    assert isinstance(result, Unchanged)
    assert result.item.status is end


async def test_acts_on_nothing_are_told_so(world: World) -> None:
    """There is no such task."""
    nobody = TaskId("nobody")

    assert list(await world.do(Cancel(id=nobody), Requeue(id=nobody))) == [Missing(), Missing()]


async def test_two_acts_of_one_batch_see_each_other(world: World) -> None:
    """The second cancel comes too late, a retry brings it back, and each has its own answer."""
    (task,) = await world.add()

    results = await world.do(Cancel(id=task), Cancel(id=task), Requeue(id=task), Requeue(id=task))

    assert [type(result) for result in results] == [Changed, Unchanged, Changed, Unchanged]


@pytest.mark.parametrize("end", [Status.FAILED, Status.CANCELLED])
async def test_a_retry_begins_anew(world: World, end: Status) -> None:
    """Attempts are 0 again, nothing is left of the old end, and it is due now."""
    lease = await world.running(max_attempts=1)
    await world.do(Cancel(id=lease.item.id))
    await world.finish(lease, end, error="broken")
    world.hands.advance(100)

    result = await world.one(Requeue(id=lease.item.id))

    assert isinstance(result, Changed)
    item = result.item
    assert item == await world.item(item.id)
    assert (item.status, item.attempts, item.run_at) == (Status.PENDING, 0, world.hands.now)
    assert (item.error, item.finished_at, item.cancel_requested) == (None, None, False)
    assert world.told()[-1] == ("TaskRetrying", item.id)


async def test_only_what_failed_or_was_cancelled_can_be_retried(world: World) -> None:
    """Pending, running and done tasks stay as they are."""
    (waiting,) = await world.add(type="exotic")
    running, done = await world.running(), await world.running()
    await world.finish(done)

    results = await world.do(
        *(Requeue(id=task) for task in (waiting, running.item.id, done.item.id))
    )

    assert all(isinstance(result, Unchanged) for result in results)


async def test_a_failed_suspect_is_still_one_when_retried(world: World) -> None:
    """An operator's retry does not make it harmless."""
    lease = await world.running(max_attempts=1)
    await world.swept(Takeover(owner=A))
    await world.do(Requeue(id=lease.item.id))

    assert not await world.claim()
    assert len(await world.claim(suspects=True)) == 1


# ---- results are per item -----------------------------------------------------------------------


async def test_a_poisonous_row_is_refused_alone(world: World) -> None:
    """What cannot be stored names itself; its neighbours are stored, whatever their kind."""
    lease = await world.running()
    (taken,) = await world.add()
    good = [world.task() for _ in range(3)]
    writes: list[Write] = [
        Create(item=good[0]),
        Create(item=world.task(id=taken)),
        Finish(id=lease.item.id, fence=1, status=Status.DONE, result=b'"\xff"'),
        Create(item=good[1]),
        Audit(message="task.test", actor="me"),
        Create(item=world.task(payload=msgspec.Raw(b"\xff"))),
        Create(item=good[2]),
    ]

    results = await world.do(*writes)

    kinds = [Created, Refused, Refused, Created, Touched, Refused, Created]
    assert [type(result) for result in results] == kinds
    assert len(await world.store.get([item.id for item in good])) == 3
    assert (await world.item(lease.item.id)).status is Status.PROCESSING
    assert [kind for kind, _ in world.told()].count("TaskCreated") == 5
    assert len(world.backend.rows("Events")) == 6


# ---- idempotency keys ---------------------------------------------------------------------------


def key(answer: bytes, request: str = "hash", **fields: Any) -> IdempotencyKey:
    """A key of one principal that lasts for an hour."""
    plain: dict[str, Any] = {
        "principal": "user-1",
        "key": "k1",
        "request_hash": request,
        "answer": Told(201, answer),
        "expires_at": datetime.fromisoformat("2026-01-01T01:00:00Z"),
    }
    return IdempotencyKey(**(plain | fields))


async def asked(world: World, *keys: IdempotencyKey) -> Sequence[Result]:
    """Ask for a new task under each key, all at once."""
    return await world.do(*(Create(item=world.task(), key=each) for each in keys))


async def test_the_same_key_gets_the_same_answer(world: World) -> None:
    """Byte for byte, one task; another request under this key is refused."""
    await asked(world, key(b"first"))

    assert list(await asked(world, key(b"second"))) == [Replayed(Told(201, b"first"))]
    assert list(await asked(world, key(b"third", "another"))) == [KeyReused()]
    assert len(world.backend.rows("Tasks")) == 1


async def test_the_same_key_twice_in_one_batch_makes_one_task(world: World) -> None:
    """Fifty at once are like fifty in a row; neighbours are not touched."""
    results = await asked(
        world, key(b"1"), key(b"2", key="k2"), *(key(b"3") for _ in range(48)), key(b"4", "another")
    )

    assert [type(result) for result in results[:2]] == [Created, Created]
    assert list(results[2:50]) == [Replayed(Told(201, b"1"))] * 48
    assert results[50] == KeyReused()
    assert len(world.backend.rows("Tasks")) == 2


async def test_another_principal_has_its_own_keys(world: World) -> None:
    """Nobody learns another's answer."""
    await asked(world, key(b"first"))

    (result,) = await asked(world, key(b"second", principal="user-2"))

    assert isinstance(result, Created)


async def test_an_expired_key_is_free_again(world: World) -> None:
    """After its time the same key makes a new task, and keeps the new answer."""
    await asked(world, key(b"old"))
    world.hands.advance(3_600)
    later = world.hands.now + timedelta(hours=1)

    (result,) = await asked(world, key(b"new", "another", expires_at=later))

    assert isinstance(result, Created)
    assert list(await asked(world, key(b"x", "another"))) == [Replayed(Told(201, b"new"))]


async def test_a_kept_answer_can_be_read_until_it_expires(world: World) -> None:
    """By who used the key, and by nobody else; reading changes nothing."""
    await asked(world, key(b"first"))

    assert await world.store.kept("user-1", "k1") == Kept("hash", Told(201, b"first"))
    assert await world.store.kept("user-2", "k1") is None
    assert await world.store.kept("user-1", "k2") is None
    world.hands.advance(3_600)
    assert await world.store.kept("user-1", "k1") is None


async def test_a_refused_task_leaves_no_key(world: World) -> None:
    """The key stands for a task; without one it is free."""
    (taken,) = await world.add()
    await world.do(Create(item=world.task(id=taken), key=key(b"refused")))

    (result,) = await asked(world, key(b"good"))

    assert isinstance(result, Created)


# ---- what is kept beside the tasks --------------------------------------------------------------


async def test_the_audit_log_is_append_only(world: World, kind: str) -> None:
    """Entries are added with who, what and when; the database itself refuses to change one."""
    await world.do(
        Audit(message="heartbeat", actor="worker-1"),
        Audit(
            message="task.retry",
            actor="root",
            task_id=TaskId("t"),
            address="192.0.2.1",
            request_id="r-1",
        ),
    )

    rows = [tuple(row.values())[1:] for row in world.backend.rows("Audit")]
    assert rows == [
        (world.hands.micros(), "heartbeat", "worker-1", None, None, None),
        (world.hands.micros(), "task.retry", "root", "t", "192.0.2.1", "r-1"),
    ]
    with pytest.raises(Exception, match="append-only"):
        world.backend.run("UPDATE Audit SET Actor = 'nobody'")


async def test_types_are_known_to_all(world: World) -> None:
    """The last registration counts; the same again is no change."""
    first = TypeInfo("resize", {"type": "object"}, "worker-1")
    newer = TypeInfo("resize", {"type": "object", "required": ["url"]}, "worker-2")
    other = TypeInfo("simulate")

    assert await world.one(Register(types=[first, other])) == Touched(2)
    assert await world.one(Register(types=[first, other])) == Touched(0)
    assert await world.one(Register(types=[newer])) == Touched(1)

    assert await world.store.types() == [newer, other]


async def test_old_rows_are_pruned_a_few_at_a_time(world: World) -> None:
    """Ended tasks, history and audit go when they are old enough; what lives stays, however old."""
    (waiting,) = await world.add(type="exotic")
    ended = [await world.running() for _ in range(3)]
    for lease in ended:
        await world.finish(lease)
    running = await world.running()
    await world.do(*(Audit(message="heartbeat", actor="a") for _ in range(2)))
    world.hands.advance(1_000)
    late = await world.running()
    await world.finish(late)
    await world.do(Audit(message="heartbeat", actor="a"))

    before = world.hands.now - timedelta(seconds=500)
    prune = Prune(tasks_before=before, events_before=before, audit_before=before, limit=2)
    results = [await world.one(prune) for _ in range(8)]

    assert results[0] == Pruned(
        tasks=2, events=2, audit=2, keys=0, unique_keys=0, runs=0, results=0
    )
    assert results[-1] == Pruned(
        tasks=0, events=0, audit=0, keys=0, unique_keys=0, runs=0, results=0
    )
    left = {row["Id"] for row in world.backend.rows("Tasks")}
    assert left == {waiting, running.item.id, late.item.id}
    assert len(world.backend.rows("Audit")) == 1
    assert {row["TaskId"] for row in world.backend.rows("Events")} == {late.item.id}


async def test_sequence_numbers_go_on_after_everything_was_pruned(world: World) -> None:
    """A listener that resumes by the last number must never see an old number again."""
    await world.add(3)
    last = world.backend.rows("Events")[-1]["Seq"]
    world.hands.advance(1_000)
    now = world.hands.now
    await world.do(Prune(tasks_before=now, events_before=now, audit_before=now))

    await world.add()

    assert world.backend.rows("Events")[-1]["Seq"] == last + 1


async def test_expired_keys_are_pruned(world: World) -> None:
    """They may be asked for no more."""
    await asked(world, key(b"1"))
    await asked(world, key(b"2", key="k2", expires_at=world.hands.now + timedelta(days=9)))
    world.hands.advance(3_600)
    old = world.hands.now - timedelta(days=1)

    await world.do(Prune(tasks_before=old, events_before=old, audit_before=old))

    assert [row["Key"] for row in world.backend.rows("IdempotencyKeys")] == ["k2"]
