"""The hot path on each store and event server: `python -m benchmarks.backends`.

Prints a table: a row for each pair, measured one after the other on the same disk. PostgreSQL is
that of the tests, with `fsync` on.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import machine
from benchmarks.event_server import event_server
from benchmarks.installation import TaskHub, ask
from benchmarks.load import load, send
from benchmarks.ours import BATCH, LATER, post_slowly
from taskhub.store.postgres.texts import spoken
from tests.postgres_server import PostgresServer

RESULTS = Path(__file__).with_name("results")
Ask = Callable[[str], list[tuple[Any, ...]]]
SECONDS, TASKS, SAMPLES, CONNECTIONS = 3, 5_000, 40, 64
BUSES = {"redis": "unix://{}", "streams": "unix+streams://{}", "local": "local"}
ROW = "| {:<26} | {:>7} | {:>6} | {:>9} | {:>7} | {:>12} | {:>7} | {:>9} |"
HEAD = (
    *("store, event server", "POST/s", "p99 ms", "to Done/s", "drain/s"),
    *("latency p50", "p99 ms", "CPU s/10k"),
)


def main() -> None:
    """Measure all pairs."""
    RESULTS.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=RESULTS))
    print(ROW.format(*HEAD), flush=True)
    try:
        with postgres() as urls:
            for store, bus in product(("SQLite", "PostgreSQL"), BUSES):
                place = folder / f"{store}-{bus}"
                url = "" if store == "SQLite" else urls(f"bench-{bus}")
                with event_server(folder / f"{store}-{bus}-events") as server:
                    measure(f"{store}, {bus}", place, url, BUSES[bus].format(server.socket))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[Callable[[str], str]]:
    """Makes databases on a server that syncs."""
    with PostgresServer.running() as server:
        with closing(psycopg.connect(server.url("postgres"), autocommit=True)) as line:
            line.execute("ALTER SYSTEM SET fsync = on")
            line.execute("SELECT pg_reload_conf()")
        yield lambda name: server.database(name, "template0")


def measure(name: str, folder: Path, url: str, events: str) -> None:
    """One pair: accepted, done, drained, latency; prints its row."""
    unit = "all" if events == "local" else "tree"
    hub = TaskHub(folder, unit, events, url)
    asked = asker(hub, url)
    with hub:
        send(hub.target(type="noop"), 16, 500)
        accepted = load(hub.target(type="noop", delaySeconds=LATER), CONNECTIONS, SECONDS)
        done, cost = to_done(hub, asked)
        low, high = latency(hub, asked)
    drained = "-" if unit == "all" else f"{drain(folder, url, events):,.0f}"
    print(
        ROW.format(
            *(name, f"{accepted.per_second:,.0f}", f"{accepted.p99:.1f}", f"{done:,.0f}"),
            *(drained, f"{low:.1f} ms", f"{high:.1f}", f"{cost:.1f}"),
        ),
        flush=True,
    )


def asker(hub: TaskHub, url: str) -> Ask:
    """Asks the database behind the installation."""

    def of_server(text: str) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(url, autocommit=True)) as line:
            return line.execute(spoken(text).encode()).fetchall()

    return of_server if url else lambda text: ask(hub.database, text)


def until_done(asked: Ask, kind: str) -> None:
    """Return when nothing of the type waits or runs."""
    open_ = f"SELECT count(*) FROM Tasks WHERE Type = '{kind}' AND Status IN ('Pending', 'Processing') AND RunAt < {time.time_ns() // 1000 + 10**9}"  # noqa: E501, S608 - our own words
    while asked(open_)[0][0]:
        time.sleep(0.05)


def to_done(hub: TaskHub, asked: Ask) -> tuple[float, float]:
    """Tasks a second from the first POST to the last end, and CPU seconds of 10,000."""
    until_done(asked, "noop")
    (before,) = asked("SELECT max(CreatedAt) FROM Tasks")[0]
    processes = {"all": hub.root} if hub.unit == "all" else hub.processes()
    spent = machine.cpu_of(processes)
    send(hub.target(type="noop"), CONNECTIONS, TASKS)
    until_done(asked, "noop")
    cost = sum(machine.difference(machine.cpu_of(processes), spent).values())
    text = f"SELECT count(*), min(CreatedAt), max(FinishedAt) FROM Tasks WHERE CreatedAt > {before}"  # noqa: S608 - a number
    count, first, last = asked(text)[0]
    return count / (last - first) * 1e6, cost / count * 1e4


def latency(hub: TaskHub, asked: Ask) -> tuple[float, float]:
    """Milliseconds from POST to the handler: median and the 99th of a hundred."""
    sent = post_slowly(hub.target(type="clock"), SAMPLES)
    until_done(asked, "clock")
    rows = asked("SELECT Id, Result FROM Tasks WHERE Type = 'clock'")
    delays = [(int(result) - sent[str(id_)]) / 1e6 for id_, result in rows]
    return machine.quantile(delays, 0.5), machine.quantile(delays, 0.99)


def drain(folder: Path, url: str, events: str) -> float:
    """Tasks a second of one worker alone, after an API alone has stored them."""
    hub = TaskHub(folder, "api", events, url)
    asked = asker(hub, url)
    with hub:
        send(hub.batch(BATCH, type="noop"), 1, TASKS // BATCH)
    (before,) = asked("SELECT count(*) FROM Tasks WHERE Status = 'Pending' AND Attempts = 0")[0]
    with TaskHub(folder, "worker", events, url):
        until_done(asked, "noop")
    span = f"SELECT count(*), min(StartedAt), max(FinishedAt) FROM (SELECT * FROM Tasks WHERE Status = 'Done' AND Type = 'noop' ORDER BY Id DESC LIMIT {TASKS}) AS Last"  # noqa: E501, S608 - a number
    count, first, last = asked(span)[0]
    assert before >= TASKS
    return float(count / (last - first) * 1e6)


if __name__ == "__main__":
    main()
