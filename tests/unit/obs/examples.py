"""One example of every telemetry event, and the lines they make; `golden.clef` holds them.

`python -m tests.unit.obs.examples >tests/unit/obs/golden.clef` writes the lines anew: read the
difference, for people's queries depend on every name in it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from taskhub.obs import telemetry as t
from taskhub.obs.logs import LogListener

GOLDEN = Path(__file__).with_name("golden.clef")
NOON = datetime(2025, 9, 28, 12, 0, 0, 123456, UTC)
TASK = "01999f0e-8b0a-7cc3-9d53-0123456789ab"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

EXAMPLES: tuple[t.Telemetry, ...] = (
    t.TaskCreated(
        task_id=TASK,
        title="Resize images",
        type="simulate",
        queue="default",
        request_id="r-1",
        trace_id=TRACE,
    ),
    t.TaskExisting(task_id=TASK, type="simulate", request_id="r-2"),
    t.TaskStarted(task_id=TASK, type="simulate", queue="default", attempt=1, waited=0.0045),
    t.TaskProcessed(
        task_id=TASK,
        type="simulate",
        queue="default",
        attempt=1,
        duration=0.0123456,
        result="success",
        trace_id=TRACE,
    ),
    t.TaskRetrying(task_id=TASK, type="fail", attempt=1, in_seconds=1.5, error="ValueError: no"),
    t.TaskFailed(
        task_id=TASK,
        type="fail",
        attempt=3,
        error="ValueError: no",
        fingerprint="7f0e2c4a9b1d3e5f",
    ),
    t.TaskCancelled(task_id=TASK),
    t.TaskReleased(task_id=TASK),
    t.StaleFinish(task_id=TASK, attempt=1),
    t.LeaseLost(task_id=TASK),
    t.LeasesTaken(owner="host/worker-1/nonce", requeued=2, failed=1, cancelled=0),
    t.TaskTaken(task_id=TASK, status="Pending"),
    t.TasksFollowed(let_go=3, failed=2, cancelled=1),
    t.HandlerStubborn(task_id=TASK, type="simulate", reason="ignores its timeout"),
    t.ScheduleFired(schedule="nightly", due=NOON, outcome="fired", task_id=TASK, late=0.0123456),
    t.ScheduleFired(schedule="nightly", due=NOON, outcome="skipped", reason="overlap", late=0.01),
    t.ScheduleFired(
        schedule="nightly",
        due=NOON,
        outcome="fired",
        reason="missed",
        since=NOON - timedelta(days=1),
        task_id=TASK,
        late=7_200.0,
    ),
    t.ScheduleBroken(schedule="nightly", reason="timeZone: expected the name of a time zone"),
    t.SchedulesDeclared(
        source="code", place="shop.tasks", added=("nightly", "weekly"), removed=("hourly",)
    ),
    t.SchedulesDeclared(source="config", place="", refused=("nightly",)),
    t.HandlerRaised(
        task_id=TASK, type="fail", attempt=1, error="ValueError: no", trace="Traceback\n  ...\n"
    ),
    t.HandlerSaid(
        task_id=TASK, attempt=2, severity="warning", text="half done", fields={"Url": "http://x"}
    ),
    t.ActorChanged(actor="worker-1/pool", state="ready"),
    t.ActorRestarting(
        actor="worker-1/pool", error="KeyError: 'x'", trace="Traceback\n  ...\n", pause=0.05
    ),
    t.ActorGaveUp(actor="worker-1/pool", error="KeyError: 'x'"),
    t.ActorUnstopped(actor="worker-1/pool", left=True),
    t.ProcessChanged(actor="tree/worker-1", pid=42, what="killed", detail="frozen for 10 s"),
    t.HookFailed(actor="tree/worker-1", hook="release", error="StoreLocked: busy"),
    t.SignalReceived(actor="tree", signal="SIGTERM", action="drain"),
    t.StacksDumped(actor="tree", trace="Thread 1:\n  ...\n"),
    t.LoopBlocked(
        seconds=1.25,
        trace='  File "handler.py", line 3, in resize\n',
        type="resize",
        task_id="01890a5d-ac96-774b-bcce-b302099a8057",
    ),
    t.LoopLag(seconds=0.001),
    t.Heartbeat(),
    t.Said(text="TaskHub 0.1.0 is ready"),
    t.Complained(text="port 9464 is taken"),
    t.Committed(writes=32, seconds=0.004),
    t.ServerSaid(text="Ready to accept connections"),
    t.StateChanged(part="events", state="degraded", detail="the event server does not answer"),
    t.EventsDropped(count=3, reason="full"),
    t.EventsPublished(count=64),
    t.EventsDelivered(count=640),
    t.ListenersChanged(count=3),
    t.ListenerDropped(),
    t.Depths(queues=(("default", "Pending", 3, 1.5),)),
    t.WorkWaits(waiting=3, taken=2, age=0.5),
    t.BacklogSeen(ratio=0.25),
    t.Reloaded(changes=("work.concurrency: 64 -> 8",), needs_restart=("http.port",)),
    t.ReloadRefused(problems=("http.port: an integer <= 65535",)),
    t.LogLevelChanged(name="worker-1/pool", to="debug"),
    t.LogLevelChanged(name="worker-1/pool", to=""),
    t.LinesDropped(count=12),
    t.CertificateLoaded(until=1_790_000_000.0, left=40 * 86_400.0),
    t.CertificateLoaded(until=1_759_100_000.0, left=3_600.0),
    t.RequestServed(method="POST", route="/tasks", status=201, seconds=0.0021, request_id="r-1"),
    t.RequestServed(
        method="GET",
        route="/tasks/{id}",
        status=200,
        seconds=0.0012,
        request_id="r-2",
        trace_id=TRACE,
        is_access=True,
        size=431,
        address="192.0.2.1",
        subject="ada",
    ),
    t.RateLimited(limit="create", who="sub:ada", request_id="r-4"),
    t.CountedAlone(limit="create"),
    t.RequestCrashed(method="GET", route="/tasks", request_id="r-2", trace="Traceback\n  ...\n"),
    t.RequestSent(type="http", outcome="2xx"),
    t.EventsForwarded(webhook="shop", count=3),
    t.WebhookSeen(webhook="shop", lag=0.0),
    t.SchedulesSeen(overdue=0.0),
    t.RowsPruned(tasks=500, events=500, audit=3, keys=0, unique_keys=0, runs=0, results=2),
    t.WebhookFellBehind(webhook="shop", events=12),
    t.BreakerOpened(host="https://example.com", failures=5, rest=15.0, open=1),
    t.BreakerClosed(host="https://example.com", seconds=61.5, open=0),
    t.KeysChanged(part="keys", issuer="https://id.example.com", kids=("2025-09", "2025-10")),
    t.KeysAsked(part="keys", result="ok"),
    t.ActAudited(subject="ada", act="retry", task_id=TASK, address="192.0.2.1", request_id="r-3"),
)


class Kept:
    """A sink that keeps the lines."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        """Keep one."""
        self.lines.append(line)


def written(*events: t.Telemetry) -> list[bytes]:
    """The lines that a worker writes for these events at noon, all levels."""
    kept = Kept()
    listener = LogListener("taskhub-worker", "worker-1", kept, "debug", clock=lambda: NOON)
    for event in events:
        listener(event)
    return kept.lines


if __name__ == "__main__":
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in written(*EXAMPLES)))
