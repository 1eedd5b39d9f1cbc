"""The reaper: takes over from the dead by their locks and ledgers, and leaves the living alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from taskhub.actors import reaper as reaper_module
from taskhub.actors.reaper import Holder, Neighbours, Reaper
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.clock import boot_id, boottime
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Put, Stop, Wake
from taskhub.model import Incarnation, Owner, Status, TaskId
from taskhub.obs.telemetry import LeasesTaken, TaskTaken
from taskhub.ports import Cancel, Refused, Sweep, Takeover, Write
from taskhub.work.incarnation import ledger_file, lock_file
from taskhub.work.ledger import Ledger
from taskhub.work.neighbours import forget, probe, started

from tests.actors.pooling import ME
from tests.actors.workshop import OTHER, Stage, Workshop, running
from tests.waiting import turns, until

LEASE = 15.0
PENDING, PROCESSING, FAILED = Status.PENDING, Status.PROCESSING, Status.FAILED

HOLDER = """
    import signal, sys
    from pathlib import Path
    from taskhub.model import Owner
    from taskhub.work.incarnation import IncarnationLock

    IncarnationLock(Path(sys.argv[1]), Owner(sys.argv[2])).hold()
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    signal.pause()
"""


class Reaping:
    """A reaper whose neighbours are looked at for real."""

    def __init__(self, shop: Workshop) -> None:
        self.shop, self.runtime = shop, shop.folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.inbox: Mailbox[Wake] = Mailbox("reaper", 64)
        self.pool: Mailbox[Wake | Stop] | None = Mailbox("pool", 64)
        self.held: Callable[[], Sequence[TaskId]] = tuple
        self.box: Mailbox[Put] = shop.box

    def spec(self) -> ChildSpec:
        """As a supervisor starts it."""
        holder = Holder(ME, self.held, lambda: LEASE, self.pool)
        neighbours = Neighbours(
            probe=lambda owner: probe(self.runtime, owner, ME),
            started=partial(started, self.runtime),
            forget=partial(forget, self.runtime),
        )

        def build() -> Reaper:
            store = (self.box, self.shop.store)
            return Reaper(self.inbox, store, holder, neighbours, self.shop.told.append)

        return ChildSpec("reaper", build, self.inbox)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stage]:
        """It sweeps while the block runs."""
        async with running([self.spec()]) as stage:
            yield stage

    def file(self, owner: Owner) -> Path:
        """The ledger of an owner."""
        path = ledger_file(self.runtime, owner)
        assert path is not None
        return path


@pytest.fixture
def reaping(workshop: Workshop) -> Reaping:
    """A reaper on a store whose actor runs."""
    return Reaping(workshop)


def neighbour(nonce: str) -> Owner:
    """Another incarnation of this boot."""
    return Incarnation(boot_id(), "worker-2", nonce).owner


async def claimed(shop: Workshop, owner: Owner, count: int = 2, lease: float = LEASE) -> list[str]:
    """Tasks that an owner holds."""
    ids = await shop.create_many(count)
    assert len((await shop.claim(owner, count, lease)).leases) == count
    return list(ids)


@asynccontextmanager
async def living(reaping: Reaping, owner: Owner) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that holds the lock of this owner; it is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(HOLDER), str(reaping.runtime), owner),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_dead_owner_s_tasks_are_free_at_once_and_its_ledger_says_who_is_suspect(
    workshop: Workshop, reaping: Reaping
) -> None:
    """Long before its leases end: what had started is counted, what had not costs nothing."""
    owner = neighbour("dead")
    begun, waiting = await claimed(workshop, owner)
    async with living(reaping, owner) as process:
        ledger = Ledger.create(reaping.file(owner), 4)
        ledger.start(TaskId(begun))
        ledger.close()
        async with reaping.open():
            await workshop.heard(LeasesTaken, 0)
            process.kill()
            rows = await workshop.until_status([TaskId(begun), TaskId(waiting)], PENDING)

    assert [row.attempts for row in rows] == [1, 0]
    suspects = workshop.sql("SELECT Id FROM Tasks WHERE Suspect")
    assert suspects == [(begun,)]
    (told,) = workshop.said(LeasesTaken)
    assert (told.owner, told.requeued) == (owner, 2)
    tasks = {(taken.task_id, taken.status) for taken in workshop.said(TaskTaken)}
    assert tasks == {(begun, PENDING), (waiting, PENDING)}
    assert not reaping.file(owner).exists()
    assert not (lock_file(reaping.runtime, owner) or Path("/")).exists()


async def test_the_living_are_left_alone_until_four_leases_are_over(
    workshop: Workshop, reaping: Reaping
) -> None:
    """A frozen process may wake up; after that time only the fence protects."""
    owner = neighbour("alive")
    ids = [TaskId(each) for each in await claimed(workshop, owner)]
    async with living(reaping, owner), reaping.open():
        for leases in (0.5, 1.5, 3.5):
            workshop.skipped = leases * LEASE
            await swept(reaping)
            assert {row.status for row in await workshop.rows(ids)} == {PROCESSING}

        workshop.skipped = 4.5 * LEASE
        await workshop.until_status(ids, PENDING)


async def test_after_a_sleep_of_the_machine_the_living_may_renew_first(
    workshop: Workshop, reaping: Reaping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All woke up together with leases long over: their handlers go on where they were."""
    monkeypatch.setattr(reaper_module, "boottime", lambda: boottime() + workshop.skipped)
    alive, unknown = neighbour("alive"), neighbour("unknown")
    held = [TaskId(each) for each in await claimed(workshop, alive)]
    others = [TaskId(each) for each in await claimed(workshop, unknown)]
    async with living(reaping, alive), reaping.open():
        await swept(reaping)

        workshop.skipped = 10 * LEASE
        await workshop.until_status(others, PENDING)
        workshop.skipped += LEASE * 0.5
        await swept(reaping)
        assert {row.status for row in await workshop.rows(held)} == {PROCESSING}

        workshop.skipped += LEASE * 0.6
        await workshop.until_status(held, PENDING)


@pytest.mark.parametrize("owner", [neighbour("gone"), Owner("not/one of/ours/at all")])
async def test_an_owner_of_whom_nothing_is_known_keeps_its_leases_until_they_end(
    workshop: Workshop, reaping: Reaping, owner: Owner
) -> None:
    """No lock, no ledger: the lease itself decides, as between hosts."""
    if not owner.startswith(boot_id()):
        owner = Owner(f"{boot_id()}/{owner}")
    ids = [TaskId(each) for each in await claimed(workshop, owner)]
    async with reaping.open():
        await swept(reaping)
        assert {row.status for row in await workshop.rows(ids)} == {PROCESSING}

        workshop.skipped = LEASE + 0.1
        rows = await workshop.until_status(ids, PENDING)

    assert [row.attempts for row in rows] == [1, 1], "it may have run"


async def test_leases_of_another_boot_are_free_at_once(
    workshop: Workshop, reaping: Reaping
) -> None:
    """Whoever held them is dead; its clock says nothing."""
    ids = [TaskId(each) for each in await claimed(workshop, OTHER)]
    async with reaping.open():
        await workshop.until_status(ids, PENDING)


async def test_of_its_own_rows_only_those_that_nobody_here_knows_are_freed(
    workshop: Workshop, reaping: Reaping
) -> None:
    """An answer was lost: the row says ours, but no handler of ours has it."""
    known, lost = (TaskId(each) for each in await claimed(workshop, ME))
    reaping.held = lambda: [known]
    async with reaping.open():
        await swept(reaping)
        assert {row.status for row in await workshop.rows([known, lost])} == {PROCESSING}

        workshop.skipped = LEASE + 0.1
        await workshop.until_status([lost], PENDING)

        assert (await workshop.row(known)).status is PROCESSING
        assert workshop.said(LeasesTaken)[0].owner == ""


async def test_what_has_no_attempt_left_ends_as_failed(
    workshop: Workshop, reaping: Reaping
) -> None:
    """Poison is bounded."""
    task_id = await workshop.create(max_attempts=1)
    await workshop.claim(OTHER)
    async with reaping.open():
        (row,) = await workshop.until_status([task_id], FAILED)
        (told,) = await workshop.heard(LeasesTaken)

    assert row.attempts == 1
    assert (told.requeued, told.failed, told.cancelled) == (0, 1, 0)
    assert workshop.said(TaskTaken) == [TaskTaken(task_id=task_id, status=FAILED)]


async def test_a_wish_to_cancel_reaches_the_pool_when_the_bell_rings(
    workshop: Workshop, reaping: Reaping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only with the next sweep."""
    monkeypatch.setattr(reaper_module, "EVERY", 3_600.0)
    wanted, _ = (TaskId(each) for each in await claimed(workshop, ME))
    assert reaping.pool is not None
    async with reaping.open():
        await swept(reaping)
        await workshop.put(Cancel(id=wanted))
        reaping.inbox.post(Wake())

        async with asyncio.timeout(10):
            assert await reaping.pool.take() == [Stop([wanted], "cancel")]


async def test_many_cancels_at_once_are_a_few_sweeps(
    workshop: Workshop, reaping: Reaping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sweep is a write: a storm of bells must not become one of transactions."""
    monkeypatch.setattr(reaper_module, "REST", 0.2)
    reaping.box = Mailbox("store", 64)
    sweeps = 0
    async with reaping.open():
        for _ in range(50):
            reaping.inbox.post(Wake())
            await turns()
            sweeps += len(reaping.box)
            if len(reaping.box):
                answer((await reaping.box.take())[0])
        async with asyncio.timeout(10):
            answer((await reaping.box.take())[0])

    assert sweeps <= 1


def answer(put: Put) -> None:
    """As a store does that refuses."""
    put.answer([Refused("no") for _ in put.writes])


async def test_without_a_pool_in_its_process_it_sweeps_for_the_others(
    workshop: Workshop, reaping: Reaping
) -> None:
    """A unit of its own, any number of times."""
    reaping.pool = None
    ids = [TaskId(each) for each in await claimed(workshop, ME, 1)]
    await workshop.put(Cancel(id=ids[0]))
    others = [TaskId(each) for each in await claimed(workshop, OTHER, 1)]
    async with reaping.open():
        await workshop.until_status(others, PENDING)


async def test_trouble_does_not_end_it(tmp_path: Path, empty_database: Path) -> None:
    """What one sweep cannot do the next one does."""
    shop = Workshop(tmp_path, empty_database, lock_timeout=0.05)
    reaping = Reaping(shop)
    async with running([shop.store_spec()]):
        ids = [TaskId(each) for each in await claimed(shop, OTHER)]
        other = shop.locked()
        async with reaping.open() as stage:
            await until(lambda: shop.health.state == "failed")
            other.close()

            await shop.until_status(ids, PENDING)
            assert stage.restarts("reaper") == 0


async def test_a_ledger_is_kept_until_its_takeover_is_stored(
    workshop: Workshop, reaping: Reaping
) -> None:
    """Else every task of the dead one would count as started."""
    owner = neighbour("dead")
    await claimed(workshop, owner)
    async with living(reaping, owner):
        pass
    Ledger.create(reaping.file(owner), 4).close()
    reaping.box = Mailbox("store", 64)
    async with reaping.open():
        async with asyncio.timeout(10):
            (put,) = await reaping.box.take()
        assert [type(write) for write in put.writes] == [Takeover]
        answer(put)
        async with asyncio.timeout(10):
            (put,) = await reaping.box.take()
        assert [type(write) for write in put.writes] == [Sweep]
        answer(put)

        assert reaping.file(owner).exists()


async def swept(reaping: Reaping) -> None:
    """Wait for a whole sweep that begins now."""
    seen = list[object]()
    real = reaping.shop.store.commit

    async def commit(writes: Sequence[Write]) -> object:
        committed = await real(writes)
        seen.extend(write for write in writes if isinstance(write, Sweep))
        return committed

    reaping.shop.store.commit = commit  # type: ignore[method-assign, assignment]
    reaping.inbox.post(Wake())
    await until(lambda: seen)
    reaping.shop.store.commit = real  # type: ignore[method-assign]
