"""What a log line and a metric cost: microseconds on the loop, and CPU of the process in all.

`python -m benchmarks.obs` prints a table; a line's bar is 6 us on the loop, a metric's 2 us.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from taskhub.obs import telemetry as t
from taskhub.obs.exposition import Exposition, dressed
from taskhub.obs.files import DailyFile, Keep
from taskhub.obs.logs import LogListener
from taskhub.obs.merge import merge
from taskhub.obs.metrics import MetricsListener, render
from taskhub.obs.sinks import ThreadSink

ROUNDS, REPEATS, SCRAPES = 100_000, 5, 50
TASK = "01999f0e-8b0a-7cc3-9d53-0123456789ab"
EVENTS: tuple[t.Telemetry, ...] = (
    t.TaskCreated(task_id=TASK, title="Resize images", type="simulate", queue="default"),
    t.TaskStarted(task_id=TASK, type="simulate", queue="default", attempt=1, waited=0.0045),
    t.TaskProcessed(
        task_id=TASK, type="simulate", queue="default", attempt=1, duration=0.0123, result="success"
    ),
    t.RequestServed(method="POST", route="/tasks", status=201, seconds=0.002, request_id="r-1"),
    t.Committed(writes=32, seconds=0.004),
)


class Nowhere:
    """A sink that forgets."""

    def write(self, line: bytes) -> None:
        """Forget it."""


def best(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Microseconds of one call: the best of a few runs, which the least was in the way of."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(rounds):
            act()
        times.append((time.perf_counter() - began) / rounds)
    return min(times) * 1e6


def listeners() -> None:
    """Each hot event, told to the log and to the metrics."""
    log = LogListener("taskhub-worker", "worker-1", Nowhere(), "debug")
    quiet = LogListener("taskhub-worker", "worker-1", Nowhere(), "error")
    metrics = MetricsListener("worker-1")
    print(f"{'event':<16}{'line us':>9}{'silent us':>11}{'metric us':>11}")
    for event in EVENTS:
        costs = [best(partial(hear, event)) for hear in (log, quiet, metrics)]
        print(f"{type(event).__name__:<16}{costs[0]:>9.2f}{costs[1]:>11.2f}{costs[2]:>11.2f}")


def files() -> None:
    """Lines into a real file, the writer thread included: wall time and CPU of all threads."""
    with tempfile.TemporaryDirectory() as place:
        sink = ThreadSink(DailyFile(Path(place), "worker", Keep(3)), limit=ROUNDS * 1_000)
        log = LogListener("taskhub-worker", "worker-1", sink)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(ROUNDS):
            log(EVENTS[2])
        on_loop = time.perf_counter() - wall
        sink.close(60)
        cpu = time.process_time() - cpu
        size = sum(path.stat().st_size for path in Path(place).iterdir())
    print(
        f"\n{ROUNDS} lines into a file: {on_loop / ROUNDS * 1e6:.2f} us a line on the loop, "
        f"{cpu / ROUNDS * 1e6:.2f} us of CPU in all, {sink.dropped} dropped, "
        f"{size / (ROUNDS - sink.dropped):.0f} bytes a line"
    )


def process(unit: str) -> MetricsListener:
    """A process that has worked on fifty types."""
    metrics = MetricsListener(unit)
    for event in EVENTS:
        metrics(event)
    for number in range(50):
        ended = t.TaskProcessed(
            task_id=TASK, type=f"t-{number}", queue="q", attempt=1, duration=0.01, result="success"
        )
        metrics(ended)
    return metrics


async def on_the_loop(metrics: MetricsListener, body: bytes) -> float:
    """Microseconds of the loop's own thread for one scrape that nobody has asked for before."""

    async def others() -> list[bytes]:
        return [body] * 3

    count = itertools.count(step=2)
    exposition = Exposition(metrics, others, lambda: float(next(count)))
    began = time.thread_time()
    for _ in range(SCRAPES):
        await exposition.body(as_openmetrics=True, zipped=True)
    return (time.thread_time() - began) / SCRAPES * 1e6


def scrape() -> None:
    """A scrape of four processes with many types."""
    processes = [process(unit) for unit in ("tree", "api-1", "worker-1", "worker-2")]
    bodies = [render(metrics.registry) for metrics in processes]
    rendering = best(lambda: render(processes[0].registry), 5)
    merging = best(lambda: merge(bodies), 5)
    merged = merge(bodies)
    packing = best(lambda: dressed(merged, True, True), 5)
    print(
        f"\nscrape of 4 x {bodies[0].count(b'unit=')} series, off the loop: "
        f"render {rendering / 1e3:.1f} ms each, merge {merging / 1e3:.1f} ms, "
        f"gzip {packing / 1e3:.1f} ms; "
        f"on the loop {asyncio.run(on_the_loop(processes[0], bodies[1])):.0f} us"
    )


if __name__ == "__main__":
    listeners()
    files()
    scrape()
