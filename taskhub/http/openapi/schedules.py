"""What the description says of schedules: words beside their members, examples to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from taskhub.http.schedules.body import NewSchedule, ScheduleBody
from taskhub.http.schedules.items import (
    Explanation,
    LastRunItem,
    RunAnswer,
    RunItem,
    RunList,
    ScheduleDetail,
    ScheduleItem,
    ScheduleList,
)
from taskhub.model import Status, TaskId
from taskhub.schedules.schedule import Misfire, Overlap, Reason, RunOutcome, Source

TASK = TaskId("019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21")
DUE = datetime(2026, 11, 24, 5, tzinfo=UTC)

CRON = {"description": "`0 6 * * MON-FRI`; a sixth field before them is seconds; `@daily`"}
BODY = {
    "cron": CRON,
    "timeZone": {"description": "such as Europe/Berlin"},
    "title": {"description": "of its tasks; default: its name"},
    "queue": {"description": "default: the queue of the type"},
    "payload": {"description": "any JSON, for each of its tasks; default: {}"},
    "maxAttempts": {"description": "1 to 100 starts; default: what the type says"},
    "timeoutSeconds": {"description": "of one attempt; default: what the type says"},
    "misfire": {"description": "of times that were missed: none, one for all, or each is run"},
    "misfireGraceSeconds": {"description": "so late a time counts as missed"},
    "overlap": {"description": "while the run before goes on: skip, wait for it, or cancel it"},
}
RUN_WORDS = {
    "dueAt": {"description": "the due time (UTC)"},
    "outcome": {"description": "it became a task, waits for the run before it, or was skipped"},
    "taskId": {"description": "its task, if it became one"},
}

MEMBERS: Mapping[type, Mapping[str, Mapping[str, Any]]] = {
    ScheduleBody: BODY,
    NewSchedule: BODY,
    ScheduleItem: BODY,
    ScheduleDetail: BODY
    | {"lastTask": {"description": "the task of its last run; null: none, or deleted since"}},
    LastRunItem: {
        "dueAt": {"description": "the due time (UTC)"},
        "taskId": {"description": "its task"},
        "status": {"description": "of its task; null: it was deleted since"},
    },
    RunItem: RUN_WORDS
    | {
        "at": {"description": "when it was handled"},
        "reason": {"description": "why it was skipped; `missed` also where it runs late"},
        "since": {"description": "it stands for the due times from then on, which were missed"},
        "manual": {"description": "somebody asked for it"},
        "status": {"description": "of its task; null: there is none, or no longer"},
    },
    RunAnswer: RUN_WORDS,
}
"""What schemas cannot know of members by themselves."""

NIGHTLY: dict[str, Any] = {
    "cron": "0 6 * * MON-FRI",
    "timeZone": "Europe/Berlin",
    "type": "simulate",
    "payload": {"seconds": 0.5},
}
SCHEDULE: dict[str, Any] = {
    "name": "nightly-report",
    "cron": "0 6 * * MON-FRI",
    "time_zone": "Europe/Berlin",
    "words": "At 06:00 on Monday through Friday (Europe/Berlin)",
    "title": "Send the report",
    "type": "simulate",
    "queue": None,
    "priority": 0,
    "payload": msgspec.Raw(b'{"seconds":0.5}'),
    "max_attempts": None,
    "timeout_seconds": None,
    "misfire": Misfire.ONCE,
    "misfire_grace_seconds": 60.0,
    "overlap": Overlap.SKIP,
    "paused": False,
    "source": Source.API,
    "place": "",
    "next_runs": (datetime(2026, 11, 25, 5, tzinfo=UTC), datetime(2026, 11, 26, 5, tzinfo=UTC)),
    "waiting": 0,
    "last_run": LastRunItem(
        due_at=datetime(2026, 11, 24, 5, tzinfo=UTC),
        task_id=TASK,
        status=Status.DONE,
        finished_at=datetime(2026, 11, 24, 5, 0, 1, tzinfo=UTC),
        error=None,
    ),
    "updated_at": DUE,
    "updated_by": "olga",
}
RUN = RunItem(
    due_at=datetime(2026, 11, 24, 5, tzinfo=UTC),
    at=datetime(2026, 11, 24, 5, 0, 0, 12_000, tzinfo=UTC),
    outcome=RunOutcome.FIRED,
    reason=Reason.NONE,
    since=None,
    manual=False,
    task_id=TASK,
    status=Status.DONE,
)

SHAPES: Mapping[Any, Mapping[str, Any]] = {
    NewSchedule: {
        "minimal": {"name": "tidy", "cron": "@hourly"},
        "whole": {
            "name": "nightly-report",
            **NIGHTLY,
            "title": "Send the report",
            "misfire": "once",
            "misfireGraceSeconds": 600,
            "overlap": "queue",
        },
    },
    ScheduleBody: {"nightly": NIGHTLY},
    ScheduleItem: {"nightly": ScheduleItem(**SCHEDULE)},
    ScheduleDetail: {"nightly": ScheduleDetail(**SCHEDULE, last_task=None)},
    ScheduleList: {"page": ScheduleList([ScheduleItem(**SCHEDULE)], None)},
    RunList: {"page": RunList([RUN], "1764022637000000")},
    RunAnswer: {
        "runs": RunAnswer(due_at=DUE, outcome=RunOutcome.FIRED, task_id=TASK),
        "waits": RunAnswer(due_at=DUE, outcome=RunOutcome.WAITING, task_id=None),
    },
    Explanation: {
        "weekdays": Explanation(
            cron="0 6 * * MON-FRI",
            time_zone="Europe/Berlin",
            words="At 06:00 on Monday through Friday (Europe/Berlin)",
            next_runs=SCHEDULE["next_runs"],
        )
    },
}
"""Examples by shape."""
