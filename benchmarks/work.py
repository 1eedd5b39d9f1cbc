"""What running a handler costs: `python -m benchmarks.work` prints a table, or JSON with `--json`.

Figures are microseconds of this process's CPU for one attempt (for one processor of time, for two
of CPU here and in them, and of time), medians of 5 runs; aiojobs alone stands beside them, since
each attempt is one of its jobs.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from aiojobs import Scheduler

from benchmarks import machine
from taskhub import Job, handler
from taskhub.model import Lease, Status, TaskId, TaskItem
from taskhub.obs.telemetry import ProcessChanged
from taskhub.work.attempt import Attempt
from taskhub.work.crew import Crew
from taskhub.work.executor import Runner
from taskhub.work.lane import ProcessorLane
from taskhub.work.ledger import Ledger
from taskhub.work.processor import ProcessorSpec
from taskhub.work.registry import Registry
from taskhub.work.threads import Threads

ATTEMPTS, RUNS, AT_ONCE = 20_000, 5, 64
NOW = datetime(2026, 1, 2, tzinfo=UTC)

Run = Callable[[Lease], Coroutine[Any, Any, object]]
Clock = Callable[[], float]


@handler("nothing")
async def nothing() -> None:
    """The least that a handler can do."""


@handler("arguments")
async def arguments(job: Job, url: str, width: int = 640) -> dict[str, Any]:
    """Take a job and two members, return an object."""
    return {"url": url, "width": width, "attempt": job.attempt}


@handler("turn")
async def turn() -> None:
    """Wait for one turn of the loop."""
    await asyncio.sleep(0)


@handler("raises")
async def raises() -> None:
    """Fail."""
    raise ValueError("no")


@handler("thread")
def thread() -> None:
    """The least that a `def` handler can do."""


def leases(kind: str, payload: bytes, count: int) -> list[Lease]:
    """Claimed tasks of one type."""
    return [_lease(kind, payload, number) for number in range(count)]


def _lease(kind: str, payload: bytes, number: int) -> Lease:
    item = TaskItem(
        id=TaskId(str(UUID(int=number))),
        title="a task",
        type=kind,
        queue="default",
        priority=0,
        status=Status.PROCESSING,
        payload=msgspec.Raw(payload),
        result=None,
        error=None,
        progress=None,
        attempts=1,
        max_attempts=5,
        timeout_seconds=60.0,
        cancel_requested=False,
        created_at=NOW,
        updated_at=NOW,
        run_at=NOW,
        started_at=NOW,
        finished_at=None,
        created_by="benchmark",
    )
    return Lease(item=item, fence=1)


async def through_jobs(claimed: list[Lease], run: Run, clock: Clock) -> float:
    """Microseconds for each of these leases, so many at once, each an aiojobs job."""
    scheduler = Scheduler(limit=None)
    ended: list[object] = []

    async def one(lease: Lease) -> None:
        ended.append(await run(lease))

    began = clock()
    for start in range(0, len(claimed), AT_ONCE):
        for lease in claimed[start : start + AT_ONCE]:
            await scheduler.spawn(one(lease))
        while len(ended) < min(start + AT_ONCE, len(claimed)):  # noqa: ASYNC110 - costs least
            await asyncio.sleep(0)
    seconds = clock() - began
    await scheduler.close()
    return seconds / len(claimed) * 1e6


async def median(work: Callable[[], Awaitable[float]]) -> float:
    """The median of a few runs."""
    return statistics.median([await work() for _ in range(RUNS)])


async def _noop(_: Lease) -> None:
    """What aiojobs costs by itself."""


async def handlers(runner: Runner) -> dict[str, float]:
    """Every kind of handler, through a runner as the pool uses it."""

    async def run(lease: Lease) -> object:
        return await runner.run(Attempt(lease))

    figures = {"aiojobs alone": await _measured("nothing", b"{}", _noop)}
    for kind, payload in (
        ("nothing", b"{}"),
        ("arguments", b'{"url":"https://example.org/a.png"}'),
        ("turn", b"{}"),
        ("thread", b"{}"),
        ("raises", b"{}"),
    ):
        figures[f"handler `{kind}`"] = await _measured(kind, payload, run)
    return figures


async def _measured(kind: str, payload: bytes, run: Run) -> float:
    claimed = leases(kind, payload, ATTEMPTS)
    return await median(lambda: through_jobs(claimed, run, time.process_time))


async def processor(registry: Registry) -> dict[str, float]:
    """A handler in a processor: its start, then so many at once."""
    spec = ProcessorSpec(env=dict(os.environ), handlers=(__spec__.name,))
    lane = ProcessorLane(registry, spec, _ignore, on_progress=_ignore)
    began = time.perf_counter()
    await lane.run(Attempt(_lease("nothing", b"{}", 0)))
    first = (time.perf_counter() - began) * 1e6

    async def run(lease: Lease) -> object:
        return await lane.run(Attempt(lease))

    claimed = leases("nothing", b"{}", ATTEMPTS // 10)
    many = await median(lambda: through_jobs(claimed, run, time.perf_counter))
    await lane.close()
    return {"processor, first task": first, f"processor, {AT_ONCE} in flight": many}


async def two_processors(registry: Registry) -> dict[str, float]:
    """Handlers with `cpu=True` in two processes, `AT_ONCE` tasks in hand: CPU here and in them."""
    spec = ProcessorSpec(env=dict(os.environ), handlers=(__spec__.name,))
    pids: list[int] = []

    def hear(event: object) -> None:
        if isinstance(event, ProcessChanged) and event.what == "spawned":
            pids.append(event.pid)

    lanes = [ProcessorLane(registry, spec, hear, on_progress=_ignore) for _ in range(2)]
    crew = Crew(lanes, _NoLedger())
    figures: dict[str, float] = {}
    for kind in ("nothing", "thread"):
        runs = [await _crewed(crew, kind, pids) for _ in range(RUNS + 1)][1:]
        for what, values in zip(
            ("here", "in them", "of time"), zip(*runs, strict=True), strict=True
        ):
            figures[f"2 processors, `{kind}`, {what}"] = statistics.median(values)
    await crew.close()
    return figures


async def _crewed(crew: Crew, kind: str, pids: list[int]) -> tuple[float, float, float]:
    """Microseconds for each task: of CPU in this process and in the processors, and of time."""
    claimed = leases(kind, b"{}", ATTEMPTS // 4)
    more = iter(claimed)

    async def slot() -> None:
        for lease in more:
            await crew.run(Attempt(lease))

    theirs = sum(map(machine.fine_cpu, pids))
    began, ours = time.perf_counter(), time.process_time()
    await asyncio.gather(*(slot() for _ in range(AT_ONCE)))
    ours, took = time.process_time() - ours, time.perf_counter() - began
    theirs = sum(map(machine.fine_cpu, pids)) - theirs
    return tuple(each / len(claimed) * 1e6 for each in (ours, theirs, took))  # type: ignore[return-value]  # three


def ledger() -> dict[str, float]:
    """One `start` and one `end`."""
    ids = [lease.item.id for lease in leases("nothing", b"{}", ATTEMPTS)]
    with tempfile.TemporaryDirectory() as folder:
        book = Ledger.create(Path(folder) / "one.ledger", AT_ONCE)
        began = time.perf_counter()
        for task_id in ids:
            book.start(task_id)
            book.end(task_id)
        seconds = time.perf_counter() - began
        book.close()
    return {"ledger, start and end": seconds / len(ids) * 1e6}


class _NoLedger:
    """What a ledger costs is measured by itself."""

    def start(self, task_id: TaskId) -> None:
        """Nobody asks."""

    def end(self, task_id: TaskId) -> None:
        """Nobody asks."""


def _ignore(_: object) -> None:
    """Nobody listens."""


async def measure() -> dict[str, float]:
    """All figures, in microseconds."""
    registry = Registry.of(nothing, arguments, turn, raises, thread)
    threads = Threads(AT_ONCE)
    runner = Runner(registry, threads, _ignore, on_progress=_ignore)
    figures = await handlers(runner)
    figures |= {**await processor(registry), **await two_processors(registry), **ledger()}
    runner.close()
    threads.close()
    return figures


def table(figures: dict[str, float]) -> Iterable[str]:
    """The lines to print."""
    yield "microseconds per attempt"
    for name, figure in figures.items():
        yield f"  {name:<36}{figure:>12,.1f}"


def main() -> None:
    """Measure and print."""
    figures = asyncio.run(measure())
    print(json.dumps(figures) if "--json" in sys.argv else "\n".join(table(figures)))


if __name__ == "__main__":
    main()
