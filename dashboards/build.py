"""Builds `taskhub.json`: `python -m dashboards.build` writes it anew beside this file."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.shapes import (
    SCHEMA,
    Json,
    Panel,
    Query,
    label_values,
    rows,
    source,
    textbox,
)

FILE = Path(__file__).with_name("taskhub.json")

HERE = 'job=~"$job", instance=~"$instance", unit=~"$unit"'
"""Queues are shown by several units that read the same tables: there `unit` is left out."""
SHARED = 'job=~"$job", instance=~"$instance"'
STREAM = '{job=~"$job", app=~"taskhub.*"}'
FIELDS = (
    '| json m="[\\"@m\\"]", trace="[\\"@x\\"]", lvl="lvl", unit="unit", task="TaskId", '
    'actor="ActorId"'
)
LINE = '| line_format "{{.lvl}} {{if .actor}}{{.actor}}{{else}}{{.unit}}{{end}} {{.m}} {{.trace}}"'


def rate(metric: str, by: str = "", more: str = "") -> str:
    """How often per second, added up over everything but the labels `by`."""
    inner = f"rate({metric}{{{HERE}{more}}}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """A quantile of a histogram; `by` keeps labels apart."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels)})"


def now(metric: str, by: str, more: str = "") -> str:
    """The greatest present value by labels."""
    return f"max by ({by}) ({metric}{{{HERE}{more}}})"


def stat(title: str, text: str, query: str, unit: str, *limits: tuple[str, float]) -> Panel:
    """One number."""
    shown = [Query(query, title)]
    return Panel(title, text, shown, unit, "stat", width=4, height=4, limits=limits)


def quantiles(title: str, text: str, histogram: str) -> Panel:
    """Median, 95 and 99 per cent over time."""
    queries = [
        Query(quantile(share, histogram), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)
    ]
    return Panel(title, text, queries, "s")


def depth(status: str) -> str:
    """Tasks in a state: every unit that shows a queue shows the same number."""
    return f'max by (queue) (taskhub_queue_depth{{{SHARED}, status="{status}"}})'


OLDEST = f'max by (queue) (taskhub_queue_oldest_age_seconds{{{SHARED}, status="Pending"}})'

OVERVIEW = [
    stat(
        "Created",
        "Tasks accepted per second.",
        rate("taskhub_api_tasks_created_total"),
        "ops",
    ),
    stat(
        "Succeeded",
        "Attempts per second that succeeded.",
        rate("taskhub_worker_tasks_processed_total", more=', result="success"'),
        "ops",
    ),
    stat(
        "Waiting",
        "Tasks that are due, of all queues.",
        f"sum({depth('Pending')})",
        "short",
        ("orange", 1_000),
        ("red", 100_000),
    ),
    stat(
        "Oldest waiting",
        "Age of the task that has been due longest: the first sign of too few workers.",
        f"max({OLDEST})",
        "s",
        ("orange", 60),
        ("red", 600),
    ),
    stat(
        "Failed",
        "Tasks that ended as Failed in the chosen time: dead letters to look at.",
        f"sum(increase(taskhub_worker_tasks_failed_total{{{HERE}}}[$__range]))",
        "short",
        ("orange", 1),
        ("red", 100),
    ),
    stat(
        "Last heartbeat",
        "Age of the oldest heartbeat among all processes: each should beat every 10 s.",
        f"max({now('taskhub_heartbeat_age_seconds', 'unit')})",
        "s",
        ("orange", 25),
        ("red", 60),
    ),
    Panel(
        "Created and processed",
        "Arrivals, and attempts that ended. Where the first stays above the second, queues grow.",
        [
            Query(rate("taskhub_api_tasks_created_total"), "created"),
            Query(rate("taskhub_worker_tasks_processed_total", "result"), "{{result}}"),
        ],
        "ops",
    ),
    Panel(
        "Waiting by queue",
        "Tasks that are due and not yet claimed.",
        [Query(depth("Pending"), "{{queue}}")],
    ),
    Panel(
        "Parts in trouble",
        "1 while the store or the event bus is not well; without events tasks only start later.",
        [Query(now("taskhub_part_state", "part, state", ', state!="ok"'), "{{part}} {{state}}")],
    ),
]

API = [
    Panel(
        "Requests by route",
        "Answers per second by route template.",
        [
            Query(
                rate("taskhub_http_request_duration_seconds_count", "method, route"),
                "{{method}} {{route}}",
            )
        ],
        "reqps",
    ),
    quantiles(
        "Request duration",
        "Time to answer. A POST waits for its durable commit.",
        "taskhub_http_request_duration_seconds",
    ),
    Panel(
        "Answers by status",
        "429 and 503 are overload told at once; 5xx beside 503 and 507 are bugs.",
        [Query(rate("taskhub_http_request_duration_seconds_count", "status"), "{{status}}")],
        "reqps",
    ),
    quantiles(
        "Commit duration",
        "Time of a durable commit, which many requests share.",
        "taskhub_store_commit_duration_seconds",
    ),
    Panel(
        "Writes per commit",
        "How many writes share a commit: it grows by itself with the load.",
        [
            Query(
                f"{rate('taskhub_store_commit_writes_sum', 'unit')} / "
                f"{rate('taskhub_store_commit_writes_count', 'unit')}",
                "{{unit}}",
            )
        ],
    ),
    Panel(
        "Bugs and refusals",
        "Requests that ended in a bug, and messages that a full mailbox refused (503).",
        [
            Query(rate("taskhub_http_request_crashes_total"), "bugs"),
            Query(rate("taskhub_actor_messages_refused_total", "actor"), "{{actor}} refused"),
        ],
        "ops",
    ),
]

WORKERS = [
    Panel(
        "Attempts by type",
        "Attempts that ended, per second.",
        [Query(rate("taskhub_worker_task_duration_seconds_count", "type"), "{{type}}")],
        "ops",
    ),
    Panel(
        "Duration by type (p95)",
        "Run time of an attempt.",
        [Query(quantile(0.95, "taskhub_worker_task_duration_seconds", "type"), "{{type}}")],
        "s",
    ),
    quantiles(
        "Queue wait",
        "From the time a task was due to the start of its handler.",
        "taskhub_queue_wait_seconds",
    ),
    Panel(
        "Failures and retries",
        "Attempts that failed and are repeated, and tasks that ended as Failed.",
        [
            Query(rate("taskhub_worker_task_retries_total"), "retries"),
            Query(rate("taskhub_worker_tasks_failed_total"), "failed for good"),
            Query(rate("taskhub_tasks_cancelled_total"), "cancelled"),
            Query(rate("taskhub_handlers_stubborn_total"), "would not stop"),
        ],
        "ops",
    ),
    Panel(
        "Leases",
        "Leases freed from dead owners, lost ones, and outcomes that came too late to count.",
        [
            Query(rate("taskhub_lease_expiries_total", "outcome"), "freed: {{outcome}}"),
            Query(rate("taskhub_leases_lost_total"), "lost"),
            Query(rate("taskhub_stale_finishes_total"), "stale outcomes"),
            Query(rate("taskhub_worker_tasks_released_total"), "given back"),
        ],
        "ops",
    ),
    Panel(
        "Running by queue",
        "Tasks in the hands of a worker.",
        [Query(depth("Processing"), "{{queue}}")],
    ),
    Panel(
        "Oldest waiting by queue",
        "For how long the next task of each queue has been due.",
        [Query(OLDEST, "{{queue}}")],
        "s",
        width=24,
        height=6,
    ),
]

ACTORS = [
    Panel(
        "Mailbox depth",
        "Messages that wait. One that stays high is the part that is too slow.",
        [Query(now("taskhub_actor_mailbox_depth", "unit, actor"), "{{unit}}/{{actor}}")],
    ),
    Panel(
        "Messages",
        "Messages taken in per second.",
        [Query(rate("taskhub_actor_messages_total", "unit, actor"), "{{unit}}/{{actor}}")],
        "ops",
    ),
    Panel(
        "Restarts and exits",
        "Actors that died and came back, and child processes that ended.",
        [
            Query(rate("taskhub_actor_restarts_total", "unit, actor"), "{{unit}}/{{actor}}"),
            Query(rate("taskhub_process_exits_total", "actor"), "process {{actor}}"),
        ],
        "ops",
    ),
    Panel(
        "Actors that are down",
        "1 for an actor that cannot serve now.",
        [Query(f"1 - {now('taskhub_actor_up', 'unit, actor')}", "{{unit}}/{{actor}}")],
    ),
    Panel(
        "Loop lag",
        "The worst lateness of a timer in the last seconds: who blocks the loop stops everybody.",
        [Query(now("taskhub_loop_lag_seconds", "unit"), "{{unit}}")],
        "s",
    ),
    Panel(
        "Heartbeat age",
        "Time since each process left its mark in the audit log.",
        [Query(now("taskhub_heartbeat_age_seconds", "unit"), "{{unit}}")],
        "s",
    ),
    Panel(
        "CPU",
        "Cores in use by each process.",
        [Query(rate("process_cpu_seconds_total", "unit"), "{{unit}}")],
    ),
    Panel(
        "Memory",
        "Resident memory of each process.",
        [Query(now("process_resident_memory_bytes", "unit"), "{{unit}}")],
        "bytes",
    ),
    Panel(
        "Lost on the way",
        "Events that were not published (the tasks are safe) and log lines that were dropped.",
        [
            Query(rate("taskhub_events_dropped_total", "reason"), "events: {{reason}}"),
            Query(rate("taskhub_log_lines_dropped_total", "unit"), "log lines of {{unit}}"),
        ],
        "ops",
    ),
]

LOGS = [
    Panel(
        "Lines by level",
        "Log lines by application and level.",
        [
            Query(
                f'sum by (app, lvl) (count_over_time({STREAM} | json lvl="lvl" [$__interval]))',
                "{{app}} {{lvl}}",
            )
        ],
        of_logs=True,
        width=24,
        height=6,
    ),
    Panel(
        "Warnings and errors",
        "What a person should read.",
        [Query(f'{STREAM} {FIELDS} | lvl=~"Warning|Error" {LINE}')],
        kind="logs",
        of_logs=True,
        width=24,
        height=10,
    ),
    Panel(
        "One task",
        "What was logged of tasks, or of the one whose id is typed above.",
        [Query(f'{STREAM} {FIELDS} | task!="" | task=~"$task.*" {LINE}')],
        kind="logs",
        of_logs=True,
        width=12,
        height=10,
    ),
    Panel(
        "Heartbeats",
        "The marks that each process leaves.",
        [Query(f'{STREAM} |= "Audit heartbeat saved" {FIELDS} {LINE}')],
        kind="logs",
        of_logs=True,
        width=12,
        height=10,
    ),
]


def dashboard() -> Json:
    """The whole dashboard, as Grafana imports it."""
    groups = {
        "Overview": OVERVIEW,
        "API": API,
        "Workers": WORKERS,
        "Actors": ACTORS,
        "Logs": LOGS,
    }
    return {
        "uid": "taskhub",
        "title": "TaskHub",
        "description": "Tasks, API, workers, actors and logs of a TaskHub.",
        "tags": ["taskhub"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": variables()},
        "panels": rows(groups),
    }


def variables() -> list[Json]:
    """What one chooses above the panels."""
    return [
        source("prometheus_datasource", "Prometheus data source", "prometheus"),
        source("loki_datasource", "Loki data source", "loki"),
        label_values("job", "Job", "label_values(taskhub_build_info, job)"),
        label_values(
            "instance", "Instance", 'label_values(taskhub_build_info{job=~"$job"}, instance)'
        ),
        label_values(
            "unit",
            "Unit",
            'label_values(taskhub_build_info{job=~"$job", instance=~"$instance"}, unit)',
        ),
        textbox("task", "Task id"),
    ]


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
