"""The audit log over HTTP: the mark that each act of an operator leaves, and `GET /audit`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from taskhub.audit import HEARTBEAT, Audit, AuditEntry, AuditQuery
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.queries import (
    RFC3339,
    TIME,
    Parameter,
    id_of_task,
    limit_of,
    matched,
    moment,
    values,
)
from taskhub.http.reading import in_time
from taskhub.model import TaskId
from taskhub.obs.telemetry import ActAudited

_WORDS = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
_encode = msgspec.json.Encoder().encode


class AuditList(msgspec.Struct, frozen=True):
    """A page of the audit log, newest first; `next` is the cursor of the next (null: the last)."""

    items: Sequence[AuditEntry]
    next: str | None


def _words(text: str) -> str:
    return matched(_WORDS, text)


def _place(text: str) -> tuple[int, int]:
    at, _, id_ = matched(_PLACE, text).partition("-")
    return int(at), int(id_)


TEXT = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]{1,255}$"}
PLACE = {"type": "string", "pattern": f"^{_PLACE.pattern}$", "examples": ["1764022637000000-4711"]}
AUDIT = (
    Parameter("actor", "actor", "who acted: the subject of a token, or a process", _words, TEXT),
    Parameter(
        "taskId", "task_id", "the id of a task", id_of_task, {"type": "string", "format": "uuid"}
    ),
    Parameter("since", "since", f"{RFC3339}; entries from then on", moment, TIME),
    Parameter("before", "before", f"{RFC3339}; entries before then", moment, TIME),
    Parameter(
        "text",
        "text",
        f"what messages begin with; `{HEARTBEAT}` alone shows the marks of processes",
        _words,
        TEXT,
    ),
    Parameter("cursor", "cursor", "the `next` of the page before", _place, PLACE),
    limit_of("entries"),
)


async def find(call: Call) -> Answer:
    """A page of the audit log, newest first."""
    query = AuditQuery(**values(call.request.query, AUDIT))
    page = await in_time(call.context.store.audit(query))
    cursor = None if page.next is None else "{}-{}".format(*page.next)
    return Answer(200, _encode(AuditList(page.items, cursor)))


def mark(call: Call, act: str, task_id: TaskId | None = None) -> Audit:
    """What is written with an act, in its transaction: who, what, from where, by which request."""
    return Audit(
        message=act,
        actor=who(call),
        task_id=task_id,
        address=call.address or None,
        request_id=call.request_id,
    )


def tell(call: Call, act: str, task_id: TaskId | None = None) -> None:
    """The same for the log, once it is done."""
    call.context.emit(
        ActAudited(
            subject=who(call),
            act=act,
            task_id=task_id or "",
            address=call.address,
            request_id=call.request_id,
        )
    )


def who(call: Call) -> str:
    """Who acts, as the audit log and what was changed name them."""
    return call.principal.subject or call.principal.key
