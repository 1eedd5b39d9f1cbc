"""What tasks for later cost those of now: `python -m benchmarks.scheduled [FOLDER]`.

One database grows from 1,000 to 1,000,000 rows that are due in a month. At each size: a claim that
finds nothing, a claim of 64 tasks that are due, the scheduler's look for the next due time, and a
worker process of its own that does 2,000 tasks beside the crowd, with the memory that it then has.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import machine
from benchmarks.event_server import event_server
from benchmarks.installation import TaskHub, until_none
from benchmarks.report import table
from benchmarks.seed import seed
from benchmarks.store import new_task
from taskhub.model import Owner
from taskhub.ports import Claim, Claimed, Release, Write
from taskhub.store.sqlite import SqliteStore

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MONTH = 30 * 86_400.0
LOOKS, TAKEN, DONE = 300, 64, 2_000
OWNER = Owner("bench/worker-1/0")
HEAD = ("rows for later", "claim of none, ms", "claim of 64, ms", "next due, ms", "worker, MB")
LEFT = "SELECT count(*) FROM Tasks WHERE Type = 'noop' AND Status <> 'Done'"


async def grown(store: SqliteStore, now: int, size: int) -> None:
    """Store rows for later until there are so many."""
    for start in range(now, size, 1_000):
        later: list[Write] = [new_task(delay=MONTH) for _ in range(min(1_000, size - start))]
        await store.commit(later)


async def costs(store: SqliteStore) -> list[str]:
    """Medians in milliseconds, commits with everything on."""
    await store.commit([new_task() for _ in range(TAKEN)])
    taking = [await timed(lambda: claimed(store, TAKEN)) for _ in range(LOOKS // 3)]
    await store.commit([_claim(TAKEN)])  # what was due is gone: from here on nothing is
    in_vain = [await timed(lambda: claimed(store, 0)) for _ in range(LOOKS)]
    looking = [await timed(store.next_due) for _ in range(LOOKS)]
    return [f"{machine.median(times) * 1e3:.2f}" for times in (in_vain, taking, looking)]


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    """Seconds of what `act` says (an act that does more than that), or of all of it."""
    began = time.perf_counter()
    said = await act()
    return said.seconds if isinstance(said, Spent) else time.perf_counter() - began


class Spent(msgspec.Struct, frozen=True):
    """How long the part took that counts."""

    seconds: float


async def claimed(store: SqliteStore, wanted: int) -> Spent:
    """A claim; what it has taken is given back, and that does not count."""
    began = time.perf_counter()
    (found,) = (await store.commit([_claim(TAKEN)])).results
    seconds = time.perf_counter() - began
    assert isinstance(found, Claimed)
    assert len(found.leases) == wanted
    held = [(lease.item.id, lease.fence) for lease in found.leases]
    if held:
        await store.commit([Release(held=held)])
    return Spent(seconds)


def _claim(limit: int) -> Claim:
    return Claim(owner=OWNER, limit=limit, lease=3_600.0, types=("simulate", "noop"))


async def measured(path: Path, before: int, size: int) -> list[str]:
    """Grow the table, then measure statements."""
    store = SqliteStore(path)
    await store.migrate()
    await store.open()
    try:
        await grown(store, before, size)
        return await costs(store)
    finally:
        await store.close()


def worked(hub: TaskHub) -> str:
    """A worker's memory after it has done its tasks beside the crowd."""
    seed(hub.database, DONE)
    with hub:
        until_none(hub.database, LEFT)
        return f"{machine.resident(hub.root):.1f}"


def main(folder: Path, sizes: Sequence[int] = SIZES) -> None:
    """One line for each size."""
    rows, before = list[Sequence[str]](), 0
    with event_server(folder / "events") as server:
        for size in sizes:
            hub = TaskHub(folder / "hub", "worker", f"unix://{server.socket}")
            found = asyncio.run(measured(hub.database, before, size))
            rows.append((f"{size:,}", *found, worked(hub)))
            before = size
            print(f"bench: {size:,} rows", flush=True)
    print("\n".join(table(HEAD, rows)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        main(Path(name).resolve())
