"""Tasks, runners and what they said, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
from taskhub.model import Lease, Status, TaskId, TaskItem
from taskhub.obs.telemetry import Telemetry
from taskhub.ports import Progress
from taskhub.work.attempt import Attempt
from taskhub.work.executor import Runner
from taskhub.work.registry import Registry
from taskhub.work.signature import Function
from taskhub.work.threads import Threads

LONG = 3_600.0
TASK = TaskId("018f0000-0000-7000-8000-000000000001")


def lease(
    kind: str = "job",
    payload: Any = None,
    *,
    attempt: int = 1,
    max_attempts: int = 5,
    timeout: float = LONG,
    suspect: bool = False,
    progress: bytes | None = None,
    task_id: TaskId = TASK,
    trace: str | None = None,
) -> Lease:
    """A claimed task."""
    now = datetime.now(UTC)
    item = TaskItem(
        id=task_id,
        title="a task",
        type=kind,
        queue="default",
        priority=0,
        status=Status.PROCESSING,
        payload=msgspec.Raw(json.dumps({} if payload is None else payload).encode()),
        result=None,
        error=None,
        progress=None if progress is None else msgspec.Raw(progress),
        attempts=attempt,
        max_attempts=max_attempts,
        timeout_seconds=timeout,
        cancel_requested=False,
        created_at=now,
        updated_at=now,
        run_at=now,
        started_at=now,
        finished_at=None,
        created_by="tests",
    )
    return Lease(item=item, fence=7, suspect=suspect, trace_parent=trace)


def attempt(kind: str = "job", payload: Any = None, **more: Any) -> Attempt:
    """A lease in our hands."""
    return Attempt(lease(kind, payload, **more))


class Heard:
    """What a runner told its owner."""

    def __init__(self) -> None:
        self.events: list[Telemetry] = []
        self.reports: list[Progress] = []

    def on_progress(self, reports: Sequence[Progress]) -> None:
        self.reports += reports


@contextmanager
def running(
    *functions: Function, heard: Heard | None = None, grace: float = 5.0
) -> Iterator[Runner]:
    """A runner of these handlers with two threads, for as long as the block lasts."""
    heard = heard or Heard()
    threads = Threads(2, "test-handler")
    runner = Runner(
        Registry.of(*functions),
        threads,
        heard.events.append,
        on_progress=heard.on_progress,
        grace=grace,
        rng=Random(1),
    )
    try:
        yield runner
    finally:
        runner.close()
        threads.close()
