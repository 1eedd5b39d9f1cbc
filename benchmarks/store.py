"""What a row costs in the store: microseconds of CPU on the writer thread, on the loop, and wall.

`python -m benchmarks.store` prints a table of each step at several batch sizes, then how a claim
fares beside a million rows that it cannot take. It works on a real file in the folder given as the
first argument (the system's temporary folder without one), with full durability.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import uuid_utils

from taskhub.model import Owner, Status, TaskId, TaskItem
from taskhub.ports import Claim, Claimed, Create, Finish, Write
from taskhub.store.sqlite import SqliteStore
from taskhub.store.steps.hand import Hand

OWNER = Owner("bench/worker-1/0")
ROWS = 25_600
SIZES = (1, 16, 64, 256, 512)
WAITING = 1_000_000
PAYLOAD = msgspec.Raw(b'{"seconds":0.0,"url":"https://example.com/pictures/1234.png"}')


def new_task(type: str = "simulate", delay: float = 0.0) -> Create:  # noqa: A002
    """A task like those of the demo."""
    now = datetime.now(UTC)
    item = TaskItem(
        id=TaskId(str(uuid_utils.uuid7())),
        title="Resize images",
        type=type,
        queue="default",
        priority=0,
        status=Status.PENDING,
        payload=PAYLOAD,
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=5,
        timeout_seconds=60.0,
        cancel_requested=False,
        created_at=now,
        updated_at=now,
        run_at=now + timedelta(seconds=delay) if delay else now,
        started_at=None,
        finished_at=None,
        created_by="user-1",
    )
    return Create(item=item, trace_parent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


class Meter:
    """CPU of the writer thread and of the loop's thread, and wall time, since it was made."""

    def __init__(self, hand: Hand) -> None:
        """Measure the thread of `hand` beside ours."""
        self._hand = hand

    async def read(self) -> tuple[float, float, float]:
        """Writer's CPU, loop's CPU, wall: seconds."""
        writer = await self._hand.call(time.thread_time)
        return writer, time.thread_time(), time.perf_counter()

    async def cost(self, act: Callable[[], Awaitable[int]]) -> tuple[float, ...]:
        """Microseconds for each row that `act` says it has done."""
        before = await self.read()
        rows = await act()
        after = await self.read()
        return tuple((b - a) / rows * 1e6 for a, b in zip(before, after, strict=True))


async def create(store: SqliteStore, batches: Sequence[Sequence[Write]]) -> int:
    """Store all of them."""
    for batch in batches:
        await store.commit(batch)
    return sum(map(len, batches))


async def drain(store: SqliteStore, size: int) -> int:
    """Claim and finish until nothing is left: the finishes of one batch go with the next claim."""
    done, writes = 0, list[Write]()
    while True:
        claim = Claim(owner=OWNER, limit=size, lease=15.0, types=("simulate", "fail"))
        *_, claimed = (await store.commit([*writes, claim])).results
        assert isinstance(claimed, Claimed)
        done += len(claimed.leases)
        writes = [
            Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE, result=b'{"ok":true}')
            for lease in claimed.leases
        ]
        if not writes:
            return done


async def steps(folder: Path) -> None:
    """Each step at each size, on a file of its own."""
    print(f"{'step':<16}{'batch':>6}{'writer us':>11}{'loop us':>9}{'wall us':>9}")
    for size in SIZES:
        store = await opened(folder / f"steps-{size}.db")
        rows = ROWS if size > 1 else 1_000
        tasks: list[Write] = [new_task() for _ in range(rows)]
        batches = [tasks[start : start + size] for start in range(0, rows, size)]
        assert store._hand is not None  # noqa: SLF001 - its CPU is what we are after
        meter = Meter(store._hand)  # noqa: SLF001
        show("create", size, await meter.cost(lambda: create(store, batches)))  # noqa: B023
        show("claim + finish", size, await meter.cost(lambda: drain(store, size)))  # noqa: B023
        await store.close()


def show(step: str, size: int, costs: tuple[float, ...]) -> None:
    """A line of the table."""
    print(f"{step:<16}{size:>6}{costs[0]:>11.2f}{costs[1]:>9.2f}{costs[2]:>9.2f}", flush=True)


async def crowd(folder: Path) -> None:
    """A claim that finds nothing, beside a million rows of the future and of a foreign type."""
    store = await opened(folder / "crowd.db")
    assert store._hand is not None  # noqa: SLF001
    meter = Meter(store._hand)  # noqa: SLF001
    for waiting in (0, WAITING):
        for start in range(0, waiting, 10_000):
            kind, delay = ("simulate", 1e6) if start % 20_000 else ("unknown", 0.0)
            await store.commit([new_task(kind, delay) for _ in range(10_000)])
        cost = await meter.cost(lambda: look(store))
        print(
            f"empty claim beside {waiting:>9,} rows that cannot be taken: {cost[0]:.0f} us of CPU"
        )
    await store.close()


async def look(store: SqliteStore) -> int:
    """Claim in vain, again and again."""
    claim = Claim(owner=OWNER, limit=64, lease=15.0, types=("simulate", "fail"))
    for _ in range(1_000):
        await store.commit([claim])
    return 1_000


async def opened(path: Path) -> SqliteStore:
    """A fresh store."""
    store = SqliteStore(path)
    await store.migrate()
    await store.open()
    return store


async def main() -> None:
    """Both tables."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        await steps(Path(name))
        await crowd(Path(name))


if __name__ == "__main__":
    asyncio.run(main())
