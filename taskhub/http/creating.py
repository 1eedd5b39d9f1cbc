"""`POST /tasks`: from bytes to a task on disk, and the same answer again for the same key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import msgspec
from msgspec.structs import replace
from uuid_utils import uuid7

from taskhub.errors import Busy, FieldError, Invalid, Problem
from taskhub.http import new_task
from taskhub.http.answers import Answer, Headers
from taskhub.http.call import Call
from taskhub.http.idempotency import REPLAYED, kept, key_of, to_keep, wish
from taskhub.http.problems import Exists, KeyReused
from taskhub.http.queries import no_query, prefer_wait
from taskhub.http.reading import LARGE
from taskhub.http.showing import encode_item, may_read, wait_for
from taskhub.keys import Existing, Replayed, Told
from taskhub.keys import KeyReused as KeyWasReused
from taskhub.model import TaskItem
from taskhub.obs.telemetry import TaskCreated, TaskExisting
from taskhub.ports import Create, Created, Refused, Result

MADE, THERE = 201, 200
EXISTING: Headers = (("Task-Existing", "true"),)
"""Said of a task that holds the unique key which a new one asked for."""


class Known(msgspec.Struct):
    """What a kept answer is read for."""

    id: str


async def create(call: Call) -> Answer:
    """Store a new task; answer when it is on disk."""
    no_query(call.request)
    key = key_of(call)
    body = await call.json_body()
    asked = None if key is None else wish(call, key, body)
    try:
        write = await _write(call, body)
    except Problem:
        if asked is None or (answer := await kept(call, asked)) is None:
            raise
        return _replayed(answer)  # the rules have changed since, such as the type's schema
    text = encode_item(write.item)
    if asked is not None:
        told = Told(MADE, text) if write.unique is None else partial(_told, call, text)
        write = replace(write, key=to_keep(call, asked, told))
    (result,) = await call.put(write)
    return await _answer(call, text, result)


async def _write(call: Call, body: bytes) -> Create:
    """What the store is asked for by a body; raises Malformed, Invalid, Backlogged."""
    if len(body) < LARGE:
        draft = new_task.read(body)
    else:
        draft = await asyncio.to_thread(new_task.read, body)
    types = call.context.types
    known = types.get(draft.new.type) or await types.find(draft.new.type)
    if known is None:
        raise new_task.unknown_type()
    item = new_task.item(draft, known, _birth(call))
    unique = new_task.unique_key(draft, known, item.created_at)
    call.context.backlog.check(call.context.settings().limits)
    return Create(item=item, trace_parent=call.trace_parent, unique=unique)


def _birth(call: Call) -> new_task.Birth:
    return new_task.Birth(str(uuid7()), call.principal.subject, datetime.now(UTC))


def _told(call: Call, text: bytes, result: Result) -> Told | None:
    """The answer to keep where another task may hold the unique key."""
    if not isinstance(result, Existing):
        return Told(MADE, text)
    return Told(THERE, encode_item(result.item)) if may_read(call, result.item) else None


async def _answer(call: Call, text: bytes, result: Result) -> Answer:
    match result:
        case Created(item=item):
            tell_created(call, item)
            return await _shown(call, item, Told(MADE, text))
        case Existing(item=item):
            tell_existing(call, item)
            if not may_read(call, item):
                raise Exists(item.id)
            return await _shown(call, item, Told(THERE, encode_item(item)))
        case Replayed(answer=answer):
            return _replayed(answer)
        case KeyWasReused():
            raise KeyReused
        case Refused():
            raise Invalid([FieldError("", "the database cannot store this task")])
        case _:
            raise TypeError(f"no answer to a Create: {result!r}")


async def _shown(call: Call, item: TaskItem, told: Told) -> Answer:
    """The answer at once, or when the task has ended, for who would rather wait."""
    wish = call.request.headers.get("Prefer")
    seconds = 0.0 if wish is None else prefer_wait(wish)
    if not seconds or item.status.is_final:
        return _made(item.id, told)
    try:
        item = await wait_for(call, item.id, seconds)
    except Busy:
        return _made(item.id, told)  # it was only a wish, and the task is stored
    applied = (("Preference-Applied", f"wait={seconds:g}"),)
    return _made(item.id, Told(told.status, encode_item(item)), applied)


def _replayed(answer: Told) -> Answer:
    """The kept answer, to the byte and at once: whatever has become of the task since."""
    id_ = msgspec.json.decode(answer.body, type=Known).id
    return _made(id_, answer, REPLAYED)


def _made(id_: str, told: Told, extra: Headers = ()) -> Answer:
    mark = EXISTING if told.status == THERE else ()
    place = ("Location", f"/tasks/{id_}")
    return Answer(told.status, told.body, headers=(place, *mark, *extra))


def tell_existing(call: Call, item: TaskItem) -> None:
    """Tell that a task was asked for that there is."""
    call.context.emit(TaskExisting(task_id=item.id, type=item.type, request_id=call.request_id))


def tell_created(call: Call, item: TaskItem) -> None:
    """Tell the log and the counters of a task that is on disk."""
    call.context.emit(
        TaskCreated(
            task_id=item.id,
            title=item.title,
            type=item.type,
            queue=item.queue,
            request_id=call.request_id,
            trace_id=call.trace_id,
        )
    )
