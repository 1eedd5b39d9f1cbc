"""Keys of tasks take turns, and the limits of queues and keys hold, whoever claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from taskhub.model import Lease, Owner, Status, TaskId
from taskhub.ports import Claim, Claimed, Prune, Release, Sweep, Takeover
from taskhub.queues import QueueLimit
from taskhub.rates import Rate
from taskhub.store.steps import claiming

from tests.conformance.store.world import LEASE, TYPES, A, B, World


def keys(leases: Sequence[Lease]) -> str:
    """The keys of what was handed out; `-` for a task that has none."""
    return "".join(lease.item.group_key or "-" for lease in leases)


async def add(world: World, text: str, **fields: Any) -> list[TaskId]:
    """A task for each letter, with that key; `-`: without one."""
    ids = []
    for letter in text:
        ids += await world.add(group_key=None if letter == "-" else letter, **fields)
    return ids


async def test_a_noisy_key_does_not_hold_up_the_others(world: World) -> None:
    """However much of it came first."""
    await add(world, "a" * 20 + "bc")

    assert keys(await world.claim(limit=5)) == "abcaa"


async def test_the_next_claim_goes_on_after_the_key_that_had_the_last_turn(world: World) -> None:
    """Whoever asks: each key has as many turns as the others, by ones as by threes."""
    await add(world, "aaaabbbbcccc")

    turns = [keys(await world.claim(owner, limit=1)) for owner in (A, B, A, B)]
    more = keys(await world.claim(limit=5))

    assert ("".join(turns), more) == ("abca", "bcabc")


async def test_keys_take_turns_within_one_priority(world: World) -> None:
    """The more urgent ones go first, whosever they are."""
    await add(world, "abab")
    await add(world, "aaa", priority=1)

    assert keys(await world.claim(limit=5)) == "aaaab"


async def test_a_key_with_many_types_has_one_turn(world: World) -> None:
    """Else more types would be more turns."""
    await add(world, "aaaa", type="resize")
    await add(world, "aaaa")
    await add(world, "bbbb")

    assert Counter(keys(await world.claim(limit=6))) == {"a": 3, "b": 3}


async def test_the_tasks_of_a_key_keep_their_order(world: World) -> None:
    """The one that was due first begins first."""
    first, second, third = await add(world, "aaa")

    found = [lease.item.id for lease in await world.claim(limit=2)]
    found += [lease.item.id for lease in await world.claim()]

    assert found == [first, second, third]


async def test_tasks_without_a_key_keep_their_place_by_what_is_due_first(world: World) -> None:
    """Nobody waits behind keys who came before them, nor the reverse."""
    await add(world, "-a-b-")

    assert keys(await world.claim()) == "-a-b-"


async def test_tasks_with_keys_that_are_not_due_wait(world: World) -> None:
    """The scheduler knows of them, too."""
    await world.add(group_key="a", run_at=world.hands.now + timedelta(seconds=10))

    assert not await world.claim()
    assert await world.store.next_due() == 10.0
    world.hands.advance(10)
    assert await world.store.next_due() == 0.0
    assert (await world.store.queues())[0].pending == 1
    assert keys(await world.claim()) == "a"


async def test_a_worker_of_some_queues_takes_turns_within_them(world: World) -> None:
    """What waits elsewhere is not its own."""
    await add(world, "aab")
    await add(world, "ab", queue="images")

    assert keys(await world.claim(queues=("images",))) == "ab"


async def test_a_task_keeps_its_key_and_its_turn_when_it_is_tried_again(world: World) -> None:
    """After a failure, a drain, a lost lease, a dead worker."""
    lease = await world.running(group_key="a")
    await world.finish(lease, Status.PENDING)
    (again,) = await world.claim()
    await world.do(Release(held=[(again.item.id, again.fence)]))
    assert keys(await world.claim()) == "a"
    world.hands.advance(LEASE + 1)
    await world.do(Sweep(owner=B, held=[], living=[], lease=LEASE))
    assert keys(await world.claim()) == "a"
    await world.do(Takeover(owner=A, started=[]))
    assert (await world.item(lease.item.id)).group_key == "a"
    assert keys(await world.claim()) == "a"


async def test_a_suspect_with_a_key_runs_alone_and_is_in_its_line_again_afterwards(
    world: World,
) -> None:
    """What killed its worker is told apart from what only has a key."""
    lease = await world.running(group_key="a")
    await world.do(Takeover(owner=A, started=[lease.item.id]))

    assert not await world.claim()
    (alone,) = await world.claim(suspects=True)
    await world.finish(alone, Status.PENDING)
    await add(world, "ab")

    assert not await world.claim(suspects=True)
    assert keys(await world.claim(limit=2)) == "ba"


# ---- more keys than one claim looks at -----------------------------------------------------------


async def test_no_key_waits_for_ever_behind_keys_that_are_at_their_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that has looked at as many as it may leaves the rest to the next one."""
    monkeypatch.setattr(claiming, "WALK", 4)
    await add(world, "abcdefghijklmnopqr")
    assert len(await bounded(world, key_concurrency=1)) == 4
    for _ in range(4):
        await bounded(world, key_concurrency=1)
    await add(world, "abcdefghijklmnopqr")
    await add(world, "s")

    found = [keys(await bounded(world, B, key_concurrency=1)) for _ in range(6)]

    assert "".join(found) == "s"


async def test_no_key_of_any_type_or_priority_is_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one of them has few keys and the other many, both are gone round."""
    await add(world, "abcdefghijklmnop")
    assert len(await bounded(world, key_concurrency=1)) == 16
    monkeypatch.setattr(claiming, "WALK", 3)
    await add(world, "abcdefghijklmnop")
    await add(world, "acegikmo", priority=1, type="resize")
    await add(world, "nhq")
    await add(world, "dz", priority=1, type="resize")

    found = [keys(await bounded(world, B, key_concurrency=1)) for _ in range(20)]

    assert sorted("".join(found)) == list("qz")


async def test_a_task_that_is_due_is_found_behind_many_that_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their keys are looked at, too; who claims hears that another look is worth while."""
    monkeypatch.setattr(claiming, "WALK", 3)
    await add(world, "abcdefgh", run_at=world.hands.now + timedelta(seconds=10))
    await add(world, "i")
    write = Claim(owner=A, limit=5, lease=LEASE, types=TYPES)

    claims = [await world.one(write) for _ in range(4)]

    found = [(keys(claim.leases), claim.is_bounded) for claim in claims if type(claim) is Claimed]
    assert found == [("", True), ("", True), ("i", True), ("", True)]


# ---- limits --------------------------------------------------------------------------------------


async def bounded(
    world: World, owner: Owner = A, limit: int = 100, **bounds: Any
) -> Sequence[Lease]:
    """A claim under limits of the queue `default`."""
    limits = [QueueLimit(queue="default", **bounds)]
    write = Claim(owner=owner, limit=limit, lease=LEASE, types=TYPES, limits=limits)
    result = await world.one(write)
    assert isinstance(result, Claimed)
    assert result.is_bounded
    return result.leases


async def test_a_queue_runs_no_more_at_once_than_it_allows(world: World) -> None:
    """Over all workers; each end lets another one begin, and other queues never wait."""
    await add(world, "--a-a-")
    await world.add(queue="other")

    first = await bounded(world, concurrency=3)
    second = await bounded(world, B, concurrency=3)
    await world.finish(first[0])
    third = await bounded(world, B, concurrency=3)

    queues = Counter(lease.item.queue for lease in first)
    assert queues == {"default": 3, "other": 1}
    assert (len(second), len(third)) == (0, 1)


@pytest.mark.parametrize("group", [None, "a"])
async def test_a_full_queue_takes_no_place_from_others(world: World, group: str | None) -> None:
    """Though all that is most urgent waits in it."""
    await world.add(9, priority=9, group_key=group)
    await world.add(3, queue="other", group_key=group)

    found = await bounded(world, limit=4, concurrency=1)

    assert [lease.item.queue for lease in found] == ["default", "other", "other", "other"]


async def test_a_key_runs_no_more_at_once_than_it_may(world: World) -> None:
    """Others of the queue go on; tasks without a key have no such limit."""
    await add(world, "aaaabb---")

    first = await bounded(world, key_concurrency=1)
    await world.finish(next(lease for lease in first if lease.item.group_key == "a"))
    second = await bounded(world, B, key_concurrency=1)

    assert sorted(keys(first)) == list("---ab")
    assert keys(second) == "a"


async def test_a_key_is_another_one_in_another_queue(world: World) -> None:
    """What runs there is nothing to this queue's limit."""
    await world.running(queue="other", group_key="a")
    await add(world, "aa")

    assert keys(await bounded(world, key_concurrency=1)) == "a"


async def test_the_limit_of_a_key_counts_over_types_and_priorities(world: World) -> None:
    """A more urgent task of another type is one of the two that may run."""
    await add(world, "aa", priority=5, type="resize")
    await add(world, "aab")

    found = await bounded(world, key_concurrency=3)

    assert sorted(keys(found)) == list("aaab")


async def test_a_worker_that_dies_leaves_no_limit_behind(world: World) -> None:
    """What ran is counted from the rows: there is no counter that somebody must give back."""
    await add(world, "ab")
    assert len(await bounded(world, key_concurrency=1, concurrency=2)) == 2
    await add(world, "ab")

    world.hands.advance(LEASE + 1)
    await world.do(Sweep(owner=B, held=[], living=[], lease=LEASE))

    assert len(await bounded(world, B, key_concurrency=1, concurrency=2)) == 2


async def test_suspects_keep_to_the_limits_too(world: World) -> None:
    """They run apart, but they run."""
    lease = await world.running(group_key="a")
    await world.do(Takeover(owner=A, started=[lease.item.id]))
    await add(world, "a")
    limit = QueueLimit(queue="default", key_concurrency=1)
    assert keys(await bounded(world, key_concurrency=1)) == "a"

    assert not await world.claim(suspects=True, limits=[limit])
    assert await world.claim(suspects=True)


async def test_a_rate_bounds_what_begins_in_any_time_of_its_length(world: World) -> None:
    """Also where it ends in between: what has begun counts, not what runs."""
    rate = Rate(3, 60)
    await world.add(12)

    begun = []
    for _ in range(30):
        for lease in await bounded(world, rate=rate):
            await world.finish(lease)
            begun.append(world.hands.now)
        world.hands.advance(5)

    assert len(begun) >= 6
    for first, fourth in zip(begun, begun[3:], strict=False):
        assert fourth - first >= timedelta(seconds=60)


async def test_what_begins_in_one_moment_is_counted_together(world: World) -> None:
    """By however many claims."""
    await world.add(5)

    found = [len(await bounded(world, limit=1, rate=Rate(3, 60))) for _ in range(5)]

    assert found == [1, 1, 1, 0, 0]


async def test_a_rate_of_keys_bounds_each_key(world: World) -> None:
    """One at its rate holds nobody up, and goes on when the time is over."""
    await add(world, "aaabbb-")

    first = keys(await bounded(world, key_rate=Rate(2, 60)))
    world.hands.advance(30)
    second = keys(await bounded(world, key_rate=Rate(2, 60)))
    world.hands.advance(34)
    third = keys(await bounded(world, key_rate=Rate(2, 60)))

    assert (sorted(first), second, sorted(third)) == (list("-aabb"), "", list("ab"))


async def test_what_rates_know_does_not_grow(world: World) -> None:
    """Old slices go with the next start, those of silent keys when old rows are pruned."""
    for number in range(50):
        await world.add(group_key=f"key-{number % 2}")
        await bounded(world, key_rate=Rate(5, 60), rate=Rate(9, 60))
        world.hands.advance(7)
    assert len(world.backend.rows("Starts")) <= 22

    world.hands.advance(3 * 86_400)
    now = world.hands.now
    await world.do(Prune(tasks_before=now, events_before=now, audit_before=now))

    assert world.backend.rows("Starts") == []
    assert world.backend.rows("Turns") == []
