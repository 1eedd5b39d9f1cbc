"""What two looks show: rates from one to the other, queues, workers, actors; pure, no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from taskhub.cli.supervision import Process, unready
from taskhub.cli.top.look import Look

PROCESSED = "taskhub_worker_tasks_processed_total"
RATES = {
    "created": ("taskhub_api_tasks_created_total", {}),
    "done": (PROCESSED, {"result": "success"}),
    "failed": (PROCESSED, {"result": "failed"}),
    "retries": ("taskhub_worker_task_retries_total", {}),
    "requests": ("taskhub_http_request_duration_seconds_count", {}),
}
"""What is shown a second, and the counter that tells it."""


@dataclass(frozen=True)
class Queue:
    """Its tasks; `oldest`: seconds for which the one that is due longest waits."""

    name: str
    pending: int
    running: int
    oldest: float


@dataclass(frozen=True)
class Worker:
    """A process that runs tasks: attempts that end each second, and how its loop does."""

    unit: str
    ready: bool
    done: float
    failed: float
    lag: float
    memory: float


@dataclass(frozen=True)
class Actor:
    """One actor; `messages` are those it is sent each second."""

    name: str
    state: str
    uptime: float
    restarts: int
    mailbox: int
    limit: int
    messages: float
    error: str


@dataclass(frozen=True)
class Frame:
    """One picture."""

    at: str
    rates: Mapping[str, float]
    queues: list[Queue]
    workers: list[Worker]
    actors: list[Actor]
    ill: list[str]
    """Why processes are not ready, and what is merely away."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def frame(before: Look, after: Look) -> Frame:
    """The picture of `after`, with its rates since `before`."""
    return Frame(
        at=after.utc.isoformat(timespec="seconds").replace("+00:00", "Z"),
        rates={name: _rate(before, after, *which) for name, which in RATES.items()},
        queues=list(_queues(after)),
        workers=[_worker(before, after, each) for each in after.processes if _works(each)],
        actors=sorted(_actors(before, after), key=lambda actor: actor.state == "ready"),
        ill=list(_ill(after)),
    )


def _rate(before: Look, after: Look, name: str, labels: Mapping[str, str]) -> float:
    """Series by series: a process that has begun anew counts from zero again."""
    seconds = after.at - before.at
    if seconds <= 0:
        return 0.0
    old = before.series.get(name, {})
    grown = 0.0
    for key, value in after.series.get(name, {}).items():
        if labels.items() <= dict(key).items():
            was = old.get(key, value if not before.series else 0.0)
            grown += value - was if value >= was else value
    return grown / seconds


def _queues(after: Look) -> Iterator[Queue]:
    """Several processes count the same queues: the latest to look has seen the most."""
    depth: dict[tuple[str, str], float] = {}
    oldest: dict[str, float] = {}
    for labels, value in after.values("taskhub_queue_depth"):
        key = (labels["queue"], labels["status"])
        depth[key] = max(depth.get(key, 0.0), value)
    for labels, value in after.values("taskhub_queue_oldest_age_seconds", status="Pending"):
        oldest[labels["queue"]] = max(oldest.get(labels["queue"], 0.0), value)
    for name in sorted({queue for queue, _ in depth}):
        pending, running = (int(depth.get((name, state), 0)) for state in ("Pending", "Processing"))
        yield Queue(name, pending, running, oldest.get(name, 0.0) if pending else 0.0)


def _works(process: Process) -> bool:
    return any(actor["name"].endswith("/pool") for actor in process.actors)


def _worker(before: Look, after: Look, process: Process) -> Worker:
    unit = process.unit
    done, failed = (
        _rate(before, after, PROCESSED, {"unit": unit, "result": result})
        for result in ("success", "failed")
    )
    return Worker(
        unit=unit,
        ready=process.ready,
        done=done,
        failed=failed,
        lag=after.one("taskhub_loop_lag_seconds", unit=unit) or 0.0,
        memory=after.one("process_resident_memory_bytes", unit=unit) or 0.0,
    )


def _actors(before: Look, after: Look) -> Iterator[Actor]:
    seconds = after.at - before.at
    posted = {
        actor["name"]: actor["mailbox_posted"]
        for process in before.processes
        for actor in process.actors
    }
    for process in after.processes:
        for actor in process.actors:
            sent = max(0, actor["mailbox_posted"] - posted.get(actor["name"], 0))
            yield Actor(
                name=actor["name"],
                state=actor["state"],
                uptime=actor["uptime"],
                restarts=actor["restarts"],
                mailbox=actor["mailbox_depth"],
                limit=actor["mailbox_limit"],
                messages=sent / seconds if seconds > 0 else 0.0,
                error=actor["last_error"] or "",
            )


def _ill(after: Look) -> Iterator[str]:
    if not after.processes:
        yield "no TaskHub runs here"
    for process in after.processes:
        yield from unready(process)
        for part in process.ill:
            if process.ready:
                yield f"{process.unit}: {part['name']} is {part['state']}: {part['detail']}"
