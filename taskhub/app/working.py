"""Puts the pool and the reaper of a worker process together."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from taskhub.actors.holdings import Holdings
from taskhub.actors.pool import Lanes, Pool, PoolParts
from taskhub.actors.reaper import Holder, Neighbours, Reaper
from taskhub.app.rings import ring
from taskhub.app.tracing import traced, tracing_of
from taskhub.config.environment import foreign
from taskhub.config.snapshot import encode
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.process import EXIT_REPLACE_ME
from taskhub.work.attempt import Attempt
from taskhub.work.crew import Crew
from taskhub.work.executor import Runner
from taskhub.work.incarnation import IncarnationLock, ledger_file
from taskhub.work.lane import ProcessorLane
from taskhub.work.ledger import Ledger
from taskhub.work.neighbours import forget, probe, started
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.handlers import outbound_handlers
from taskhub.work.processor import ProcessorSpec
from taskhub.work.registry import discover
from taskhub.work.scheduled import declared
from taskhub.work.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.app.process import Process
    from taskhub.work.registry import Registry

NOT_FOR_HANDLERS = ("jwt", "redis", "servicebus", "store")
"""Sections whose secrets a processor needs for nothing."""
SPARE = 10.0
"""Seconds that a pool gets beyond the grace time, to settle what its handlers leave."""


def pool_spec(process: Process) -> ChildSpec:
    """The child spec of the pool; its lock and its ledger are the whole process's."""
    calls = Calls(process.live, process.emit, tracing=tracing_of(process))
    registry = discover(
        process.live.config.work.handlers, folder=process.folder, also=outbound_handlers(calls)
    )
    holdings = process.holdings = Holdings()
    ledger = _ledger(process, holdings)
    parts = PoolParts(
        inbox=process.boxes.pool,
        store_box=process.boxes.store,
        renew=process.store.renew,
        types=registry.types(),
        schedules=declared(registry.values()),
        lanes=partial(_lanes, process, registry, calls, ledger),
        ledger=ledger,
        owner=process.owner,
        settings=process.live,
        emit=process.emit,
        retire=partial(process.host.drain, EXIT_REPLACE_ME),
        holdings=holdings,
        opening=process.host.is_ready,
        looked=_looked(process),
    )
    return ChildSpec(
        "pool",
        lambda: Pool(parts),
        process.boxes.pool,
        stop_timeout=SPARE,
        grace=lambda: process.live.config.supervisor.grace,
    )


def _looked(process: Process) -> Callable[[float, int], None]:
    """Have the pool hear of new work; what is to be told of its claims."""
    wake, hints = ring(process.boxes.pool, "work"), process.work
    if hints is None:
        process.rings.append(wake)
        return lambda _began, _room: None

    async def take(is_up: Callable[[], None]) -> None:
        await hints.run(is_up, partial(wake, frozenset({"work"})))

    process.ways.append(take)
    return hints.looked


def reaper_spec(process: Process) -> ChildSpec:
    """The child spec of the reaper; without a pool in its process it sweeps for the others."""
    has_pool = "pool" in process.entries
    holder = Holder(
        owner=process.owner,
        held=lambda: tuple(process.holdings.attempts) if process.holdings else (),
        lease=lambda: process.live.config.work.lease,
        pool=process.boxes.pool if has_pool else None,
    )
    neighbours = Neighbours(
        probe=lambda owner: probe(process.runtime, owner, process.owner),
        started=partial(started, process.runtime),
        forget=partial(forget, process.runtime),
    )
    box = process.boxes.reaper
    process.rings.append(ring(box, "cancel"))

    def build() -> Reaper:
        return Reaper(box, (process.boxes.store, process.store), holder, neighbours, process.emit)

    return ChildSpec("reaper", build, box, stop_timeout=5.0)


def _ledger(process: Process, holdings: Holdings) -> Ledger:
    """Take the lock of this incarnation, then open its ledger, for the life of the process."""
    lock = IncarnationLock(process.runtime, process.owner)
    lock.hold()
    path = ledger_file(process.runtime, process.owner)
    assert path is not None, "our own name is a good one"
    ledger = Ledger.create(path, 2 * process.live.config.work.concurrency)

    def leave() -> None:
        """With leases still held only our death may free the lock: others must not act before."""
        ledger.close()
        if not holdings.attempts:
            lock.release()

    process.stack.callback(leave)
    return ledger


def _lanes(process: Process, registry: Registry, calls: Calls, ledger: Ledger, pool: Pool) -> Lanes:
    threads = Threads(process.live.config.work.concurrency)
    runner = Runner(
        registry,
        threads,
        process.emit,
        on_progress=pool.on_progress,
        result_limit=lambda: process.live.config.work.max_result,
    )
    spec = _processor(process)

    def lane() -> ProcessorLane:
        return ProcessorLane(registry, spec, process.emit, on_progress=pool.on_progress)

    processes = process.live.config.work.processes or os.cpu_count() or 1
    suspects, crew = lane(), Crew([lane() for _ in range(processes)], ledger)
    process.host.pulse.deadline = runner.earliest_deadline
    process.host.pulse.doing = runner.doing

    async def close() -> None:
        await suspects.close()
        await crew.close()
        runner.close()
        await calls.close()
        threads.close()

    return Lanes(
        main=traced(process, runner),
        suspects=traced(process, suspects),
        attempt=Attempt,
        resize=threads.resize,
        close=close,
        apart=dict.fromkeys(registry.computing, traced(process, crew)),
    )


def _processor(process: Process) -> ProcessorSpec:
    """How a child process is made; its handlers' own spans are sent where ours are."""
    tracing = tracing_of(process)
    hidden = (*NOT_FOR_HANDLERS, "tracing") if tracing is None else NOT_FOR_HANDLERS
    return ProcessorSpec(
        env=foreign(os.environ),
        handlers=process.live.config.work.handlers,
        folder=process.folder,
        settings=lambda: encode(process.live.config, hidden),
        unit=process.name,
        says_goodbye=tracing is not None,
    )
