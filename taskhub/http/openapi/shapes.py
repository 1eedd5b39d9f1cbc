"""JSON Schema of the shapes that go in and out, and the words that stand beside their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import Any

import msgspec

from taskhub.audit import AuditEntry
from taskhub.http.bulk import BulkReport, BulkWish
from taskhub.http.context import ActorRow, PartHealth
from taskhub.http.creating import MadeTask
from taskhub.http.creating_many import BatchAnswer, BatchItem
from taskhub.http.kinds import TypeRow
from taskhub.http.live.frames import EventList
from taskhub.http.new_task import BatchTask, NewTask, Step
from taskhub.http.openapi import schedules
from taskhub.http.problems import ErrorItem, ProblemBody
from taskhub.http.routes.tasks import TaskPage
from taskhub.model import Child, Event, TaskItem, Unique
from taskhub.telling import EventItem, TaskEvent

REFERENCE = "#/components/schemas/{name}"

UUID = {"type": "string", "format": "uuid"}
TITLE = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$", "not": {"pattern": r"^\s*$"}}
"""The rule of a title without looking ahead: who draws examples of a pattern is slow at that."""

STEP: Mapping[str, Mapping[str, Any]] = {
    "title": TITLE,
    "queue": {"description": "default: the queue of the type"},
    "groupKey": {
        "description": "whose it is: keys take turns; up to 100 characters, none a control"
    },
    "payload": {"description": "any JSON; kept byte for byte; default: {}"},
    "maxAttempts": {"description": "1 to 100 starts; default: what the type says"},
    "unique": {"description": "default: what the type says; null: it is not unique"},
    "timeoutSeconds": {"description": "of one attempt; default: what the type says"},
    "delaySeconds": {"description": "not before so many seconds from now; not with runAt"},
    "onParentFailure": {
        "description": "fail: it ends as one that it is after does; continue: it runs all the same"
    },
}
"""What a new task says wherever it stands."""

ITEM: Mapping[str, Mapping[str, Any]] = {
    "id": UUID | {"description": "UUIDv7: sorts by the time of creation"},
    "payload": {"description": "any JSON, as it was sent"},
    "result": {"description": "what the handler returned; null until it is Done, or expired"},
    "resultExpiresAt": {"description": "when the result is emptied, or was; null: it stays"},
    "error": {"description": "why the last attempt failed"},
    "progress": {"description": "what the handler last said of it"},
    "priority": {"description": "-100 to 100, the greater the sooner"},
    "attempts": {"description": "starts so far"},
    "maxAttempts": {"description": "starts before it is given up"},
    "timeoutSeconds": {"description": "of one attempt"},
    "cancelRequested": {"description": "it runs, and is asked to stop"},
    "runAt": {"description": "not before this time"},
    "createdBy": {"description": "the `sub` of the token that created it"},
    "after": {"description": "it is handed out once these tasks have ended"},
    "onParentFailure": {"description": "what becomes of it when one of them fails"},
}
"""What is said of a task."""

MEMBERS: Mapping[type, Mapping[str, Mapping[str, Any]]] = {
    **schedules.MEMBERS,
    Step: STEP,
    NewTask: {
        **STEP,
        "after": {"description": "it is handed out once these tasks have ended"},
        "then": {"description": "tasks to make with it, the first after it, each after the last"},
    },
    BatchTask: {
        **STEP,
        "name": {"description": "what others of the batch call it"},
        "after": {
            "description": "it is handed out once these have ended: the places or names of tasks"
            " before it in the batch, or ids"
        },
    },
    Unique: {
        "by": {"description": "members of the payload whose values make the key"},
        "key": {"description": "the key; neither key nor by: the whole payload is"},
        "seconds": {"description": "how long it is held at most; default: the states alone count"},
        "states": {"description": "it is held while the task is in one of them, Pending at least"},
    },
    BatchAnswer: {
        "created": {"description": "tasks that are on disk"},
        "existing": {"description": "tasks that were there: they hold the unique keys"},
        "refused": {"description": "tasks that are not stored"},
        "items": {"description": "one for each task, in their order"},
    },
    BatchItem: {
        "status": {"description": "what a request for it alone would have been answered"},
        "id": {"description": "the task's id"},
        "errors": {"description": "each rule that it breaks (the first ten), and where"},
    },
    TaskItem: ITEM,
    Child: {name: ITEM[name] for name in ("id", "error", "createdBy")},
    MadeTask: {
        **ITEM,
        "then": {"description": "the ids of the tasks that follow it, in their order"},
    },
    Event: {
        "id": UUID | {"description": "the task's id"},
        "title": {"description": "the task's title"},
        "at": {"description": "when it happened (UTC)"},
    },
    EventItem: {
        "id": UUID | {"description": "the task's id"},
        "title": {"description": "the task's title; null when it was deleted since"},
        "at": {"description": "when it happened (UTC)"},
        "seq": {"description": "the event's number; each is one greater than the one before"},
        "progress": {"description": "what the handler said"},
        "error": {"description": "why the attempt failed"},
    },
    TaskEvent: {
        "id": UUID | {"description": "the task's id"},
        "title": {"description": "the task's title"},
        "at": {"description": "when it happened (UTC)"},
        "seq": {"description": "the event's number"},
        "progress": {"description": "what the handler said"},
        "error": {"description": "why the attempt failed"},
        "taskType": {"description": "the task's type"},
        "queue": {"description": "the task's queue"},
    },
    EventList: {"next": {"description": "`after` of the next page; null: this was the last"}},
    TypeRow: {
        "payloadSchema": {"description": "JSON Schema of the payload; empty: anything goes"},
        "queue": {"description": "where its tasks wait when nothing else is said"},
        "timeoutSeconds": {"description": "of one attempt when nothing else is said"},
        "maxAttempts": {"description": "starts when nothing else is said"},
        "keepResultSeconds": {"description": "how long results are kept; null: as configured"},
        "external": {"description": "done by workers that claim over HTTP, and by none of ours"},
        "registeredAt": {"description": "since when it is as it is; null: nobody registered it"},
        "seenAt": {"description": "when a worker has last said that it does it"},
        "waiting": {"description": "tasks that wait; from 10,000 in one queue on perhaps more"},
    },
    BulkWish: {
        "all": {"description": "every task is meant: the search was not forgotten"},
        "dryRun": {"description": "count, show some, change nothing"},
    },
    BulkReport: {
        "matched": {"description": "tasks that match, and whose state allows the act"},
        "changed": {"description": "tasks that were changed; running ones are asked to stop"},
        "skipped": {"description": "tasks that moved on meanwhile, or are asked to stop already"},
        "next": {"description": "`cursor` of the request that goes on; null: that was all"},
        "sample": {"description": "with dryRun: some of the tasks, newest first"},
    },
    ActorRow: {
        "name": {"description": "unit and actor: `worker-1/pool`"},
        "uptime": {"description": "seconds since its last start"},
        "mailboxDepth": {"description": "messages that wait"},
        "mailboxLimit": {"description": "messages that may wait"},
        "lastError": {"description": "why it was restarted last"},
    },
    AuditEntry: {
        "at": {"description": "when it was written (UTC)"},
        "message": {"description": "what was done: `cancel`, `restart worker-1/pool`"},
        "actor": {"description": "who did it: the `sub` of the token, or a process"},
        "taskId": {"description": "to which task, if to one"},
        "address": {"description": "from which address it was asked for"},
        "requestId": {"description": "by which request; the log has it too"},
    },
    PartHealth: {"detail": {"description": "one sentence, when it is not well"}},
    ErrorItem: {
        "pointer": {"description": "JSON pointer (RFC 6901) into the body or the query"},
        "column": {"description": "of a search: the first character that is not understood"},
    },
    TaskPage: {
        "next": {"description": "`cursor` of the next page; null: this was the last"},
        "stopped": {"description": "enough was looked at; there may be more: go on with `next`"},
    },
    ProblemBody: {
        "type": {"format": "uri", "description": "names the kind of error"},
        "detail": {"description": "one sentence for the person who reads it"},
        "instance": {"format": "uri", "description": "names this very request"},
        "requestId": {"description": "finds the request in the log; also in X-Request-Id"},
        "errors": {"description": "each rule that is broken, and where"},
    },
}
"""What schemas cannot know of members by themselves."""

ONE_TIME = {"not": {"required": ["runAt", "delaySeconds"]}}

RULES: Mapping[type, Mapping[str, Any]] = {
    NewTask: ONE_TIME,
    Step: ONE_TIME,
    BatchTask: ONE_TIME,
    Unique: {"not": {"required": ["key", "by"]}},
}
"""What they cannot say of several members together."""


def components(shapes: Sequence[Any]) -> dict[str, Any]:
    """The schemas of all shapes and of what they are made of, by name."""
    _, made = msgspec.json.schema_components(shapes, ref_template=REFERENCE)
    for told in made.values():
        if "description" in told:  # a docstring, indented as it stands in the source before 3.13
            told["description"] = cleandoc(told["description"])
    for shape, rules in RULES.items():
        if shape.__name__ in made:
            made[shape.__name__] |= rules
    for shape, members in MEMBERS.items():
        properties = made.get(shape.__name__, {}).get("properties", {})
        for name, words in members.items():
            if name in properties:
                properties[name] = properties[name] | words
    return made


def schema(shape: Any) -> dict[str, Any]:
    """The schema of one shape; of a struct a reference to it."""
    (made,), _ = msgspec.json.schema_components((shape,), ref_template=REFERENCE)
    return made
