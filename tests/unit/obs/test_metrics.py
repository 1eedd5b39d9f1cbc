"""Metrics: exact names, bounded labels, a valid exposition."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as modern
from prometheus_client.parser import text_string_to_metric_families as parsed
from taskhub.kernel.child import ActorState, State
from taskhub.obs import telemetry as t
from taskhub.obs.counted import ROUTE_LIMIT
from taskhub.obs.merge import classic
from taskhub.obs.meters import LIMIT, histogram, only
from taskhub.obs.metrics import MetricsListener, render

from tests.unit.obs.examples import EXAMPLES, TASK, TRACE

Labels = dict[str, str]


def full() -> MetricsListener:
    """A listener that has heard every event and looks at an actor."""
    listener = MetricsListener("worker-1")
    for event in EXAMPLES:
        listener(event)
    pool = ActorState("worker-1/pool", State.READY, 3.5, 0, 7, 64, 900, 2)
    listener.watch_actors(lambda: [pool])
    listener.watch_log(lambda: 11)
    listener.sample()
    return listener


def value(listener: MetricsListener, name: str, **labels: str) -> float | None:
    """The value of one series of worker-1."""
    return listener.registry.get_sample_value(name, {"unit": "worker-1", **labels})


def processed(result: str, kind: str = "simulate") -> t.TaskProcessed:
    """An attempt of 30 ms has ended so."""
    return t.TaskProcessed(
        task_id=TASK, type=kind, queue="default", attempt=1, duration=0.03, result=result
    )


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("taskhub_api_tasks_created_total", {}, 1),
        ("taskhub_worker_tasks_processed_total", {"result": "success"}, 1),
        ("taskhub_worker_tasks_processed_total", {"result": "failed"}, 0),
        ("taskhub_worker_task_duration_seconds_count", {"type": "simulate"}, 1),
        ("taskhub_worker_task_duration_seconds_sum", {"type": "simulate"}, 0.0123456),
        ("taskhub_queue_wait_seconds_count", {"queue": "default"}, 1),
        ("taskhub_worker_task_retries_total", {}, 1),
        ("taskhub_worker_tasks_failed_total", {}, 3),
        ("taskhub_stale_finishes_total", {}, 1),
        ("taskhub_leases_lost_total", {}, 1),
        ("taskhub_lease_expiries_total", {"outcome": "requeued"}, 2),
        ("taskhub_lease_expiries_total", {"outcome": "failed"}, 1),
        ("taskhub_actor_restarts_total", {"actor": "pool"}, 1),
        ("taskhub_actor_up", {"actor": "pool"}, 1),
        ("taskhub_actor_uptime_seconds", {"actor": "pool"}, 3.5),
        ("taskhub_actor_mailbox_depth", {"actor": "pool"}, 7),
        ("taskhub_actor_messages_total", {"actor": "pool"}, 900),
        ("taskhub_actor_messages_refused_total", {"actor": "pool"}, 2),
        ("taskhub_loop_lag_seconds", {}, 0.001),
        ("taskhub_loop_blocks_total", {}, 1),
        ("taskhub_worker_handler_blocks_total", {"type": "resize"}, 1),
        ("taskhub_heartbeats_total", {}, 1),
        ("taskhub_queue_depth", {"queue": "default", "status": "Pending"}, 3),
        ("taskhub_queue_oldest_age_seconds", {"queue": "default", "status": "Pending"}, 1.5),
        ("taskhub_part_state", {"part": "events", "state": "degraded"}, 1),
        ("taskhub_part_state", {"part": "events", "state": "ok"}, 0),
        ("taskhub_events_published_total", {}, 64),
        ("taskhub_events_dropped_total", {"reason": "full"}, 3),
        ("taskhub_store_commit_duration_seconds_sum", {}, 0.004),
        ("taskhub_store_commit_writes_sum", {}, 32),
        ("taskhub_config_reloads_total", {"result": "refused"}, 1),
        ("taskhub_log_lines_dropped_total", {}, 11),
        (
            "taskhub_http_request_duration_seconds_count",
            {"method": "POST", "route": "/tasks", "status": "201"},
            1,
        ),
    ],
)
def test_each_event_counts_under_its_name(name: str, labels: Labels, expected: float) -> None:
    """Dashboards and alerts depend on these names: they are a promise."""
    assert value(full(), name, **labels) == expected


def test_every_series_says_whose_it_is() -> None:
    """Series of several processes stand side by side and are never added up by accident."""
    families = parsed(text(full()))

    units = {sample.labels.get("unit") for family in families for sample in family.samples}

    assert units == {"worker-1"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_mend() -> None:
    """Names, units, types and help texts are as Prometheus asks."""
    check = ["promtool", "check", "metrics"]

    told = subprocess.run(check, input=text(full()).encode(), check=False, capture_output=True)

    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def test_both_formats_tell_the_same() -> None:
    """Which one a scraper asks for changes no value."""
    listener = full()

    old = {(s.name, *sorted(s.labels.items())) for f in parsed(text(listener)) for s in f.samples}
    new = {
        (s.name, *sorted(s.labels.items()))
        for f in modern(render(listener.registry).decode())  # type: ignore[no-untyped-call]
        for s in f.samples
    }

    assert old == new


def text(listener: MetricsListener) -> str:
    """The classic exposition."""
    return classic(render(listener.registry)).decode()


def test_a_histogram_leads_to_one_observation_of_each_bucket() -> None:
    """To its trace, or to what else it is known by: the last one, and no series more for it."""
    listener = full()
    for request_id in ("r-7", "r-8"):
        listener(
            t.RequestServed(
                method="GET", route="/tasks", status=200, seconds=0.004, request_id=request_id
            )
        )

    shown = {
        (sample.name, sample.labels.get("route", "")): sample.exemplar
        for family in modern(render(listener.registry).decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }

    served = shown["taskhub_http_request_duration_seconds_bucket", "/tasks"]
    worked = shown["taskhub_worker_task_duration_seconds_bucket", ""]
    waited = shown["taskhub_queue_wait_seconds_bucket", ""]
    assert (served.labels, served.value) == ({"request_id": "r-8"}, 0.004)
    assert float(served.timestamp) > 1.7e9
    assert worked.labels == {"trace_id": TRACE}
    assert waited.labels == {"task_id": TASK}
    assert " # {" not in text(listener)


def test_a_family_that_is_made_anew_takes_its_own_place() -> None:
    """An actor that was restarted counts on where all look, not beside its dead self."""
    listener = MetricsListener("tree")
    for seconds in (0.1, 0.2):
        family = histogram("taskhub_again_seconds", "Made by an actor.", (1.0,))
        only(family).observe(seconds)
        listener.add(family)

    assert text(listener).count("taskhub_again_seconds_sum") == 1
    assert 'taskhub_again_seconds_sum{unit="tree"} 0.2' in text(listener)


def test_buckets_add_up() -> None:
    """Each bucket holds what is at most its bound, the last one everything."""
    listener = MetricsListener("worker-1")
    for seconds in (0.001, 0.0011, 0.3, 99_999):
        listener(t.Committed(writes=1, seconds=seconds))

    name = "taskhub_store_commit_duration_seconds_bucket"
    counts = [value(listener, name, le=le) for le in ("0.001", "0.0025", "0.5", "2.5", "+Inf")]

    assert counts == [1, 2, 3, 3, 4]


def test_counters_are_there_before_the_first_event() -> None:
    """A series that is born at one hides that one from rate()."""
    listener = MetricsListener("worker-1")

    assert value(listener, "taskhub_api_tasks_created_total") == 0
    assert value(listener, "taskhub_worker_tasks_processed_total", result="failed") == 0
    assert value(listener, "taskhub_worker_tasks_failed_total") == 0


def test_a_failed_request_counts_beside_its_route() -> None:
    """From zero: a series by status is born with its first request, and rate() would miss that."""
    listener = MetricsListener("api-1")
    for status in (200, 499, 500, 503):
        listener(
            t.RequestServed(method="GET", route="/", status=status, seconds=0.1, request_id="r")
        )

    assert (
        listener.registry.get_sample_value("taskhub_http_request_failures_total", {"unit": "api-1"})
        == 2
    )


def test_a_store_that_works_is_told_to_be_well() -> None:
    """Its changes are events, and it begins well: else an alert could not tell well from mute."""
    listener = MetricsListener("worker-1")
    before = value(listener, "taskhub_part_state", part="store", state="ok")

    listener(t.Committed(writes=1, seconds=0.001))
    well = value(listener, "taskhub_part_state", part="store", state="ok")
    listener(t.StateChanged(part="store", state="failed"))
    listener(t.Committed(writes=1, seconds=0.001))

    assert (before, well) == (None, 1)
    assert value(listener, "taskhub_part_state", part="store", state="failed") == 1


def test_what_ends_with_its_worker_is_counted_as_ended() -> None:
    """Whoever frees a dead worker's tasks ends some of them: no pool will tell of those."""
    listener = MetricsListener("tree")
    for status in ("Pending", "Failed", "Failed", "Cancelled"):
        listener(t.TaskTaken(task_id=TASK, status=status))

    ended = ("taskhub_worker_tasks_failed_total", "taskhub_tasks_cancelled_total")
    assert [listener.registry.get_sample_value(name, {"unit": "tree"}) for name in ended] == [2, 1]


def test_deaths_of_processes_and_deliveries_that_were_given_up_are_counted_apart() -> None:
    """An idle process that leaves has not died, and another type is no delivery."""
    listener = MetricsListener("worker-1")
    for detail in ("exit code 0", "signal 9"):
        listener(t.ProcessChanged(actor="processor", pid=1, what="exited", detail=detail))
    for kind in ("http", "webhook"):
        listener(t.TaskFailed(task_id="1", type=kind, attempt=1, error="no"))

    lines = text(listener).splitlines()
    assert 'taskhub_processor_deaths_total{unit="worker-1"} 1.0' in lines
    assert 'taskhub_webhook_deliveries_failed_total{unit="worker-1"} 1.0' in lines
    assert 'taskhub_worker_tasks_failed_total{unit="worker-1"} 2.0' in lines


def test_strangers_cannot_make_series_without_end() -> None:
    """10,000 types or routes are 10,000 series in nobody's Prometheus."""
    listener = MetricsListener("worker-1")
    for number in range(10_000):
        listener(processed("success", f"type-{number}"))
        listener(
            t.RequestServed(
                method="GET", route=f"/{number}", status=404, seconds=0.1, request_id="r"
            )
        )

    durations = listener.tasks.duration.collect("worker-1").samples
    types = {sample.labels["type"] for sample in durations}
    routes = {sample.labels["route"] for sample in listener.world.requests.collect("u").samples}
    other = value(listener, "taskhub_worker_task_duration_seconds_count", type="other")
    assert len(types) == LIMIT + 1
    assert len(routes) == ROUTE_LIMIT + 1
    assert other == 10_000 - LIMIT
    assert value(listener, "taskhub_worker_tasks_processed_total", result="success") == 10_000


def test_depths_are_replaced_and_bounded() -> None:
    """A queue that has become empty is told no more; too many queues share one series."""
    listener = MetricsListener("worker-1")
    listener(t.Depths(queues=(("old", "Pending", 1, 1.0),)))
    listener(t.Depths(queues=tuple((f"q{n}", "Pending", 2, float(n)) for n in range(LIMIT + 10))))

    many = {"queue": "other", "status": "Pending"}
    assert value(listener, "taskhub_queue_depth", queue="old", status="Pending") is None
    assert value(listener, "taskhub_queue_depth", queue="q0", status="Pending") == 2
    assert value(listener, "taskhub_queue_depth", **many) == 20
    assert value(listener, "taskhub_queue_oldest_age_seconds", **many) == LIMIT + 9


def test_an_actor_is_named_as_everywhere_else() -> None:
    """`worker-1/pool` is the actor `pool` of the unit `worker-1`; a child unit keeps its name."""
    listener = MetricsListener("tree")
    for _ in range(2):
        listener(t.ActorRestarting(actor="tree/worker-1", error="it died", pause=0.0))

    sample = {"unit": "tree", "actor": "worker-1"}
    assert listener.registry.get_sample_value("taskhub_actor_restarts_total", sample) == 2


def test_the_lag_is_the_worst_of_late() -> None:
    """A scrape each 15 s must see a peak between two of them."""
    listener = MetricsListener("worker-1")
    for seconds in (0.001, 0.7, 0.002):
        listener(t.LoopLag(seconds=seconds))

    assert value(listener, "taskhub_loop_lag_seconds") == 0.7


def test_the_process_is_shown_as_the_kernel_sees_it() -> None:
    """CPU, memory and descriptors under their usual names."""
    listener = MetricsListener("worker-1")
    descriptors = value(listener, "process_open_fds")

    assert descriptors is not None
    assert descriptors >= 3
    assert (value(listener, "process_resident_memory_bytes") or 0) > 1_000_000
    assert (value(listener, "process_cpu_seconds_total") or 0) <= sum(os.times()[:2]) + 1
    assert (value(listener, "process_start_time_seconds") or 0) > 1.7e9


def test_a_heartbeat_ages() -> None:
    """Nothing before the first; then the time since the last, measured at each look."""
    listener = MetricsListener("worker-1")
    before = value(listener, "taskhub_heartbeat_age_seconds")

    listener(t.Heartbeat())
    first = value(listener, "taskhub_heartbeat_age_seconds")

    assert before is None
    assert first is not None
    assert (value(listener, "taskhub_heartbeat_age_seconds") or 0) > first


def test_actors_are_looked_at_whenever_the_loop_turns() -> None:
    """A keeper's thread renders on its own: it must never read the tree of another thread."""
    listener = MetricsListener("worker-1")
    pool = ActorState("worker-1/pool", State.READY, 3.5, 0)
    listener.watch_actors(lambda: [pool])
    before = value(listener, "taskhub_actor_up", actor="pool")

    listener(t.LoopLag(seconds=0.0))

    assert before is None
    assert value(listener, "taskhub_actor_up", actor="pool") == 1
