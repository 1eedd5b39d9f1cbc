"""What `systemctl status` says beside who we are: how much runs and waits; it changes nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from taskhub.config.units import UnitEntry, actors
from taskhub.errors import Trouble
from taskhub.model import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from taskhub.app.process import Process
    from taskhub.ports import QueueCount

EVERY = 2.0
"""Least seconds between two counts."""
SHARE = 20
"""To count takes at most one part in so many of the time, however large the tables are."""


@asynccontextmanager
async def standing_told(process: Process) -> AsyncIterator[None]:
    """Keep systemd told, where it listens and there are tables to count in."""
    if process.host.notifier.address is None or "store" not in process.entries:
        yield
        return
    chore = asyncio.create_task(_keep_telling(process), name="standing")
    try:
        yield
    finally:
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)


async def _keep_telling(process: Process) -> None:
    host, now = process.host, asyncio.get_running_loop().time
    await host.is_ready.wait()
    while not host.pulse.is_draining:
        began = now()
        host.figure(await _figures(process))
        await asyncio.sleep(max(EVERY, SHARE * (now() - began)))


async def _figures(process: Process) -> str:
    """Nothing while the database is away: old figures would be worse than none."""
    if process.store_health.state != "ok":
        return ""
    with suppress(Trouble):
        return figures(await process.store.counts(), _workers(process))
    return ""


def figures(counts: Sequence[QueueCount], workers: tuple[int, int]) -> str:
    """In words; `workers` are those that are ready and those that there should be."""
    running = sum(each.count for each in counts if each.status is Status.PROCESSING)
    waiting = sum(each.count for each in counts if each.status is Status.PENDING)
    text = f"{running} running, {waiting} waiting"
    ready, wanted = workers
    if not wanted:  # they are services of their own
        return text
    if ready < wanted:
        return f"{text}, {ready} of {wanted} workers"
    return f"{text}, {ready} worker{'s' if ready > 1 else ''}"


def _workers(process: Process) -> tuple[int, int]:
    """Of the children of this process."""
    units = process.live.config.units
    names = {
        entry.name
        for entry in process.entries
        if isinstance(entry, UnitEntry) and "pool" in actors(units, entry.name)
    }
    tree = process.supervisor.tree() if process.supervisor else ()
    here = [each.state == "ready" for each in tree if _unit(each.name) in names]
    return sum(here), len(here)


def _unit(actor: str) -> str:
    """`tree/worker-1` is of the unit `worker`."""
    return actor.rpartition("/")[2].rpartition("-")[0]
