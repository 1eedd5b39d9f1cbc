"""`GET /tasks` and `GET /tasks/{id}`: pages, one task, its ETag, and waiting for its end."""

from __future__ import annotations

import asyncio

import msgspec

from taskhub.errors import NotFound
from taskhub.http.access import access_under
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.conditional import conditional
from taskhub.http.problems import OutOfScope
from taskhub.http.queries import ID, task_query, wait_seconds
from taskhub.http.reading import in_time
from taskhub.http.route import READ
from taskhub.model import Child, TaskId, TaskItem

REVALIDATE = "private, no-cache"

encode_item = msgspec.json.Encoder().encode


async def find(call: Call) -> Answer:
    """A page of tasks, newest first."""
    query = task_query(call.request.query)
    page = await in_time(call.context.store.find(query))
    return Answer(200, encode_item(page))


async def show(call: Call) -> Answer:
    """One task; with `?wait=` once it has ended, or as it is when the time is over."""
    seconds = wait_seconds(call.request.query)
    id_ = task_id(call)
    item = await fetch_theirs(call, id_)
    if seconds and not item.status.is_final:
        item = await wait_for(call, id_, seconds)
    return conditional(call.request, Answer(200, encode_item(item), cache=REVALIDATE))


def task_id(call: Call) -> TaskId:
    """The id in the path; raises NotFound for what cannot be one."""
    text = call.request.match_info["id"]
    if not ID.fullmatch(text):
        raise NotFound
    return TaskId(text)


async def fetch(call: Call, id_: TaskId) -> TaskItem:
    """The task as it is now; raises NotFound."""
    items = await in_time(call.context.store.get([id_]))
    if not items:
        raise NotFound
    return items[0]


async def fetch_theirs(call: Call, id_: TaskId) -> TaskItem:
    """The task, for who may do this with it; raises NotFound, OutOfScope.

    Who may not read it learns nothing: the answer is that of a task that does not exist.
    """
    item = await fetch(call, id_)
    if call.access.covers(call.principal, item.created_by):
        return item
    if may_read(call, item):
        raise OutOfScope(call.access.full.scopes, call.access.full.roles)
    raise NotFound


def may_read(call: Call, item: TaskItem | Child) -> bool:
    """Whether the policy of `getTask` lets this principal see the task."""
    reading = access_under(call.context.settings().policies, "getTask", READ)
    return reading.covers(call.principal, item.created_by)


async def wait_for(call: Call, id_: TaskId, seconds: float) -> TaskItem:
    """The task once it has ended, or as it is after so many seconds; raises NotFound, Busy."""
    with call.context.waiters.awaiting(id_) as end:
        item = await fetch(call, id_)
        if item.status.is_final:
            return item
        await asyncio.wait([end], timeout=seconds)
        ended = end.result() if end.done() else None
    return ended if ended is not None else await fetch(call, id_)
