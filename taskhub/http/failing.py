"""`GET /tasks/failures` and `GET /tasks/{id}/attempts`: what fails alike, and how a task fared."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from taskhub.failures import FailureGroup, FailureQuery, PastAttempt, with_latest
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.queries import (
    OF_TYPE,
    RFC3339,
    TIME,
    Parameter,
    limit_of,
    matched,
    moment,
    no_query,
    values,
)
from taskhub.http.reading import in_time
from taskhub.http.showing import fetch_theirs, task_id
from taskhub.model import NAME_PATTERN

_PLACE = re.compile(r"([0-9]{1,18})-([0-9a-f]{16})?-(" + NAME_PATTERN.strip("^$") + ")", re.ASCII)
_encode = msgspec.json.Encoder().encode


class FailureList(msgspec.Struct, frozen=True):
    """Groups of failed tasks, the latest first; `next` is the cursor of the next page."""

    items: Sequence[FailureGroup]
    next: str | None


class AttemptList(msgspec.Struct, frozen=True):
    """What a task has been through: the attempts that failed, of its last 50 starts, oldest first.

    An attempt that runs, or that has ended in another way, is the last one.
    """

    items: Sequence[PastAttempt]


def _place(text: str) -> tuple[int, str, str]:
    matched(_PLACE, text)
    at, mark, kind = text.split("-", 2)
    return int(at), mark, kind


PLACE = {
    "type": "string",
    "pattern": f"^{_PLACE.pattern}$",
    "examples": ["1764022637000000-9f86d081884c7d65-resize"],
}
FAILURES = (
    OF_TYPE,
    Parameter("since", "since", f"{RFC3339}; groups that have failed since then", moment, TIME),
    Parameter("cursor", "cursor", "the `next` of the page before", _place, PLACE),
    limit_of("groups"),
)


async def groups(call: Call) -> Answer:
    """A page of groups of failed tasks."""
    query = FailureQuery(**values(call.request.query, FAILURES))
    page = await in_time(call.context.store.failures(query))
    cursor = None if page.next is None else "{}-{}-{}".format(*page.next)
    return Answer(200, _encode(FailureList(page.items, cursor)))


async def attempts(call: Call) -> Answer:
    """What a task has been through."""
    no_query(call.request)
    item = await fetch_theirs(call, task_id(call))
    failed = await in_time(call.context.store.attempts(item.id))
    return Answer(200, _encode(AttemptList(with_latest(failed, item))))
