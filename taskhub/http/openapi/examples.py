"""Examples that a reader learns from, by shape; what has none here gets a sample of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import asdict

from taskhub.audit import AuditEntry
from taskhub.errors import FieldError, Invalid, TaskHubError
from taskhub.failures import AttemptEnd, FailureGroup, PastAttempt
from taskhub.http.auditing import AuditList
from taskhub.http.bulk import BulkReport, BulkWish, Sample
from taskhub.http.context import ActorRow, PartHealth
from taskhub.http.creating import MadeTask
from taskhub.http.creating_many import BatchAnswer, BatchItem
from taskhub.http.external import bodies
from taskhub.http.failing import AttemptList, FailureList
from taskhub.http.following import ChildPage, ParentList
from taskhub.http.kinds import TypeList, TypeRow
from taskhub.http.live.frames import EventList
from taskhub.http.new_task import NewTask
from taskhub.http.new_tasks import NewTasks
from taskhub.http.openapi import schedules
from taskhub.http.pausing import QueueList
from taskhub.http.problems import BadQuery, ErrorItem, Exists
from taskhub.http.restarting import RestartAsked
from taskhub.http.routes.tasks import TaskPage
from taskhub.http.routes.watching import ActorList
from taskhub.http.watching import Readiness
from taskhub.model import Child, Event, EventType, Parent, Status, TaskId, TaskItem
from taskhub.queues import LineState, QueueState
from taskhub.registration import Standing
from taskhub.telling import EventItem, TaskEvent
from taskhub.why import Reason, Why

ID = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"
NEXT = "019aa1d2-8c6f-7c10-8a1e-4b2f6d1e0c33"
LEASE = "1.Zm9ydHktdHdvIGJ5dGVzIQ"
AT = datetime(2026, 11, 24, 22, 17, 17, tzinfo=UTC)

ITEM = TaskItem(
    id=TaskId(ID),
    title="Resize images",
    type="simulate",
    queue="default",
    priority=0,
    status=Status.PENDING,
    payload=msgspec.Raw(b'{"seconds":0.5}'),
    result=None,
    error=None,
    progress=None,
    attempts=0,
    max_attempts=5,
    timeout_seconds=60.0,
    cancel_requested=False,
    created_at=AT,
    updated_at=AT,
    run_at=AT,
    started_at=None,
    finished_at=None,
    created_by="alice",
)
ENTRY = AuditEntry(
    id=4711,
    at=AT,
    message="cancel",
    actor="alice",
    task_id=TaskId(ID),
    address="192.0.2.1",
    request_id="7f3a-1c9",
)
EVENT = EventItem(type=EventType.CREATED, id=TaskId(ID), title="Resize images", at=AT, seq=4711)
ACTOR = ActorRow(name="worker-1/pool", state="ready", uptime=3600.5, restarts=0, mailbox_limit=4096)
SAMPLE = Sample(TaskId(ID), "Resize images", "simulate", "default", Status.FAILED, AT)
FAILED = PastAttempt(
    attempt=1,
    end=AttemptEnd.FAILED,
    started_at=AT,
    ended_at=AT,
    worker="worker-1",
    error="ValueError: no picture",
    fingerprint="9f86d081884c7d65",
    exception="ValueError",
    place="images.resize:resize",
)
GROUP = FailureGroup(
    fingerprint="9f86d081884c7d65",
    type="resize",
    exception="ValueError",
    place="images.resize:resize",
    error="ValueError: no picture",
    count=1204,
    more=False,
    first_seen=AT,
    last_seen=AT,
    samples=[TaskId(ID)],
)
TYPE = TypeRow(
    name="resize",
    payload_schema={
        "type": "object",
        "properties": {"url": {"type": "string"}, "width": {"type": "integer", "default": 640}},
        "required": ["url"],
        "additionalProperties": False,
    },
    queue="images",
    timeout_seconds=30.0,
    max_attempts=5,
    keep_result_seconds=3_600.0,
    external=False,
    standing=Standing.ACTIVE,
    registered_at=AT,
    seen_at=AT,
    waiting=12,
)

CHILD = Child(
    id=TaskId(NEXT),
    title="Send the report",
    type="report",
    queue="default",
    status=Status.PENDING,
    error=None,
    created_at=AT,
    created_by="alice",
)

SHAPES: Mapping[Any, Mapping[str, Any]] = {
    **schedules.SHAPES,
    AuditList: {"page": AuditList([ENTRY], "1764022637000000-4711")},
    RestartAsked: {"asked": RestartAsked("worker-1/pool")},
    NewTask: {
        "minimal": {"title": "Resize images"},
        "whole": {
            "title": "Resize images",
            "type": "simulate",
            "queue": "default",
            "priority": 10,
            "payload": {"seconds": 0.5},
            "maxAttempts": 3,
            "backoff": {"base": 2, "factor": 2, "cap": 60, "jitter": 0.2},
            "timeoutSeconds": 30,
        },
        "later": {"title": "Send the report", "delaySeconds": 3600},
        "after": {"title": "Send the report", "after": [ID], "onParentFailure": "continue"},
        "chain": {"title": "Resize images", "then": [{"title": "Send the report"}]},
        "unique": {"title": "Sync 42", "payload": {"customer": 42}, "unique": {"by": ["customer"]}},
    },
    NewTasks: {
        "all": {"tasks": [{"title": "Resize images"}, {"title": "Send the report"}]},
        "each": {
            "tasks": [{"title": "Resize images"}, {"title": "Send the report", "queue": "mail"}],
            "atomic": False,
        },
        "graph": {
            "tasks": [
                {"name": "left", "title": "Resize images"},
                {"name": "right", "title": "Resize others"},
                {"title": "Send the report", "after": ["left", "right"]},
            ]
        },
    },
    BatchAnswer: {
        "all": BatchAnswer(1, 0, 0, [BatchItem(201, TaskId(ID))]),
        "partly": BatchAnswer(
            1,
            0,
            1,
            [
                BatchItem(201, TaskId(ID)),
                BatchItem(422, errors=(ErrorItem("/tasks/1/priority", "-100 to 100"),)),
            ],
        ),
    },
    TaskItem: {"task": ITEM},
    MadeTask: {
        "task": MadeTask(**asdict(ITEM)),
        "chain": MadeTask(**asdict(ITEM), then=(TaskId(NEXT),)),
    },
    ParentList: {
        "parents": ParentList(
            [Parent(id=TaskId(ID), status=Status.DONE, result=msgspec.Raw(b'{"pages":3}'))]
        )
    },
    ChildPage: {"last": ChildPage([CHILD], None), "more": ChildPage([CHILD], TaskId(NEXT))},
    TaskPage: {"last": TaskPage([ITEM], None), "more": TaskPage([ITEM], ID)},
    BulkWish: {
        "count": {"q": "status:failed error:~timeout", "dryRun": True},
        "do": {"q": "status:failed error:~timeout"},
        "goOn": {"q": "status:failed error:~timeout", "cursor": ID},
        "everything": {"all": True},
    },
    BulkReport: {
        "counted": BulkReport(matched=1204, changed=0, skipped=0, next=None, sample=[SAMPLE]),
        "done": BulkReport(matched=1204, changed=1203, skipped=1, next=None),
        "more": BulkReport(matched=10_000, changed=10_000, skipped=0, next=ID),
    },
    AttemptList: {"failed": AttemptList([FAILED])},
    FailureList: {
        "last": FailureList([GROUP], None),
        "more": FailureList([GROUP], "1764022637000000-9f86d081884c7d65-resize"),
    },
    TypeList: {"types": TypeList([TYPE])},
    TypeRow: {"type": TYPE},
    QueueList: {"queues": QueueList([QueueState("images", False, 1204, 16, 12.5)])},
    LineState: {"stands": LineState("images", paused=True, processing=0)},
    Why: {
        "paused": Why(
            TaskId(ID),
            Status.PENDING,
            [Reason(cause="queuePaused", text="The queue images is paused.")],
        )
    },
    bodies.NewTypes: {
        "minimal": bodies.NewTypes(types=[bodies.NewType(name="resize-image")]),
        "whole": {
            "types": [
                {
                    "name": "resize-image",
                    "queue": "images",
                    "timeoutSeconds": 300,
                    "maxAttempts": 3,
                    "payloadSchema": {"type": "object", "required": ["url"]},
                }
            ]
        },
    },
    bodies.KnownTypes: {"known": bodies.KnownTypes(["resize-image"])},
    bodies.Wish: {
        "one": {"types": ["resize-image"], "worker": "mill-1"},
        "batch": {
            "types": ["resize-image"],
            "worker": "mill-1",
            "limit": 20,
            "leaseSeconds": 60,
            "wait": 30,
        },
    },
    bodies.HandedList: {
        "one": bodies.HandedList(
            [
                bodies.Handed(
                    id=TaskId(ID),
                    lease=LEASE,
                    lease_until=AT,
                    fence=1,
                    task=msgspec.structs.replace(
                        ITEM, status=Status.PROCESSING, attempts=1, type="resize-image"
                    ),
                )
            ]
        )
    },
    bodies.Renewal: {"longer": {"lease": LEASE, "leaseSeconds": 60}},
    bodies.LeaseState: {
        "goesOn": bodies.LeaseState(id=TaskId(ID), lease_until=AT, cancel_requested=False)
    },
    bodies.Report: {"half": {"lease": LEASE, "fraction": 0.5, "text": "2 of 4 images"}},
    bodies.Completion: {"done": {"lease": LEASE, "result": {"width": 640}}},
    bodies.Failure: {
        "again": {"lease": LEASE, "error": "the disk is full", "retryInSeconds": 60},
        "forGood": {"lease": LEASE, "error": "this is no image", "final": True},
    },
    bodies.GivingBack: {"given": {"lease": LEASE}},
    bodies.Outcome: {"done": bodies.Outcome(TaskId(ID), "Done")},
    ActorList: {"actors": ActorList([ACTOR])},
    Readiness: {
        "ok": Readiness("ok", [PartHealth("store", "ok"), PartHealth("events", "ok")]),
    },
    EventList: {"history": EventList([EVENT], None)},
    TaskEvent: {
        "done": TaskEvent(
            type=EventType.DONE,
            id=TaskId(ID),
            title="Resize images",
            at=AT,
            seq=4711,
            task_type="resize",
            queue="images",
        )
    },
    Event: {"created": Event(EventType.CREATED, TaskId(ID), "Resize images", AT)},
}
ERRORS: Mapping[type[TaskHubError], TaskHubError] = {
    Invalid: Invalid([FieldError("/title", "1 to 200 characters, not only spaces")]),
    Exists: Exists(ID),
    BadQuery: BadQuery([FieldError("/limit", "expected once: 1 to 200 tasks; 50 when absent")]),
}


def plain(value: Any) -> Any:
    """A value as its JSON says it."""
    return msgspec.json.decode(msgspec.json.encode(value))
