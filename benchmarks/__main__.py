"""Measures speed on this machine: `python -m benchmarks [--quick] [PART ...]`.

Prints tables and writes benchmarks/results/latest.json. Parts: post, whole, drain, takeover.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import machine, ours, report, theirs
from benchmarks.event_server import EventServer, event_server
from benchmarks.peers import LOG
from benchmarks.plan import QUICK, WHOLE, Plan
from benchmarks.prepare import prepare
from benchmarks.results import Report

RESULTS = Path(__file__).with_name("results")


def post(folder: Path, plan: Plan, server: EventServer, found: Report) -> None:
    """How fast tasks are accepted."""
    found.posts += ours.posts(folder / "hub-post", plan)
    found.posts += theirs.posts(folder / "stack-post", plan, server)


def whole(folder: Path, plan: Plan, server: EventServer, found: Report) -> None:
    """From POST to Done, latency, memory."""
    for end, latency, prints in (
        ours.whole(folder / "hub", plan),
        theirs.whole(folder / "stack", plan, server),
    ):
        found.ends.append(end)
        found.latencies.append(latency)
        found.footprints += prints


def drain(folder: Path, plan: Plan, server: EventServer, found: Report) -> None:
    """One worker process and what is stored."""
    found.drains.append(ours.drain(folder / "worker", plan, server))
    other, delays = theirs.arq(plan, server)
    found.drains.append(other)
    found.latencies.append(delays)


def takeover(folder: Path, plan: Plan, server: EventServer, found: Report) -> None:
    """A killed worker's task runs again."""
    del server
    found.takeovers += ours.takeovers(folder / "killed", plan)


Part = Callable[[Path, Plan, EventServer, Report], None]
PARTS: dict[str, Part] = {"post": post, "whole": whole, "drain": drain, "takeover": takeover}


def main() -> None:
    """Measure what was asked for."""
    asked = _arguments()
    prepare()
    RESULTS.mkdir(exist_ok=True)
    LOG.write_bytes(b"")
    # Beside the checkout, not in /tmp: a disk in memory would make every commit look cheap.
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=RESULTS))
    try:
        found = _measured(folder, QUICK if asked.quick else WHOLE, asked.parts or list(PARTS))
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    (RESULTS / "latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    print(report.text(found))


def _measured(folder: Path, plan: Plan, parts: list[str]) -> Report:
    began, found = time.monotonic(), Report(machine.described(folder))
    for name in parts:
        print(f"bench: {name} ({time.monotonic() - began:.0f} s)", flush=True)
        with event_server(folder / name) as server:
            PARTS[name](folder, plan, server, found)
    found.machine["took"] = f"{time.monotonic() - began:.0f} s"
    if len(parts) == len(PARTS):
        found.bars += report.bars(found)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--keep", action="store_true", help="keep databases and logs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
