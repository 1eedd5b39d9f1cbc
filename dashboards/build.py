"""Builds Grafana's dashboards: `python -m dashboards.build` writes them anew beside this file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import alerting
from dashboards.shapes import Panel, Query, board

FOLDER = Path(__file__).parent

HERE = 'job=~"$job", instance=~"$instance", unit=~"$unit"'
"""Queues are shown by several units that read the same tables: there `unit` is left out."""
SHARED = 'job=~"$job", instance=~"$instance"'
STREAM = '{job="taskhub", app=~"taskhub.*"}'
WORKER = '{app="taskhub-worker"}'
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

QUEUE_WAIT = quantiles(
    "Queue wait",
    "From the time a task was due to the start of its handler.",
    "taskhub_queue_wait_seconds",
)
OLDEST_WAITING = Panel(
    "Oldest waiting by queue",
    "For how long the next task of each queue has been due.",
    [Query(OLDEST, "{{queue}}")],
    "s",
)

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
        "Failures",
        "Attempts that failed, those that are repeated, and tasks that failed for good.",
        [
            Query(rate("taskhub_worker_tasks_processed_total", more=', result="failed"'), "failed"),
            Query(rate("taskhub_worker_task_retries_total"), "repeated"),
            Query(rate("taskhub_worker_tasks_failed_total"), "for good"),
        ],
        "ops",
    ),
    Panel(
        "Request duration",
        "How many requests took how long. A POST waits for its durable commit.",
        [Query(rate("taskhub_http_request_duration_seconds_bucket", "le"), "{{le}}")],
        "s",
        "heatmap",
    ),
    Panel(
        "Waiting by queue",
        "Tasks that are due and not yet claimed.",
        [Query(depth("Pending"), "{{queue}}")],
    ),
    OLDEST_WAITING,
    QUEUE_WAIT,
    Panel(
        "Heartbeats",
        "Marks that each process leaves in the audit log: six a minute.",
        [Query(f"60 * {rate('taskhub_heartbeats_total', 'unit')}", "{{unit}}")],
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
        "Requests answered with a 5xx, those of them that were bugs, and full mailboxes (503).",
        [
            Query(rate("taskhub_http_request_failures_total"), "answered with a 5xx"),
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
    QUEUE_WAIT,
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
    OLDEST_WAITING,
    Panel(
        "Loops that stood still",
        "A handler computed or waited without `await`: everything else in its process waited too.",
        [Query(rate("taskhub_loop_blocks_total", "unit"), "{{unit}}")],
        "ops",
    ),
    Panel(
        "Schedules",
        "Due times handled, by what became of them.",
        [Query(rate("taskhub_schedule_runs_total", "outcome, reason"), "{{outcome}} {{reason}}")],
        "ops",
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
        "Workers",
        "What the workers say: time, level, sentence and task.",
        [Query(f"{WORKER} {FIELDS} {LINE}")],
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


BOARDS: dict[str, tuple[str, str, Sequence[Panel]]] = {
    "overview": ("Overview", "Is it well, and does it keep up?", OVERVIEW),
    "api": ("API", "Requests, their durations and answers, and the commits they wait for.", API),
    "workers": ("Workers", "Attempts by type, waiting, failures, retries and leases.", WORKERS),
    "actors": ("Actors", "Every actor and process: mailboxes, restarts, loops, memory.", ACTORS),
    "logs": ("Logs", "The log lines of all processes, by level, of one task, in trouble.", LOGS),
}


def text(name: str) -> str:
    """The content of a file."""
    made = json.loads(JSONEncoder().encode(board(name, *BOARDS[name])))
    for variable in made["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):  # of intervals, which none of ours is
            del variable[key]
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for each in BOARDS:
        (FOLDER / f"{each}.json").write_text(text(each))
    alerting.FILE.write_text(alerting.provisioned())
