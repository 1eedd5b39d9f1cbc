"""`POST /tasks`: from bytes to a task on disk, and the same answer again for the same key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
from uuid_utils import uuid7

from taskhub.errors import Busy, FieldError, Invalid, Problem
from taskhub.http import new_task
from taskhub.http.answers import Answer, Headers
from taskhub.http.call import Call
from taskhub.http.idempotency import kept, key_of, to_keep, wish
from taskhub.http.problems import KeyReused
from taskhub.http.queries import no_query, prefer_wait
from taskhub.http.showing import encode_item, wait_for
from taskhub.model import TaskItem
from taskhub.obs.telemetry import TaskCreated
from taskhub.ports import Create, Created, Refused, Replayed, Result
from taskhub.ports import KeyReused as KeyWasReused

LARGE = 65_536
"""Bodies from this size on are read in a thread, so that nobody waits behind them."""


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
        item = await _item(call, body)
    except Problem:
        if asked is None or (answer := await kept(call, asked)) is None:
            raise
        return _replayed(answer)  # the rules have changed since, such as the type's schema
    text = encode_item(item)
    keep = None if asked is None else to_keep(call, asked, text)
    (result,) = await call.put(Create(item=item, trace_parent=call.trace_parent, key=keep))
    return await _answer(call, item, text, result)


async def _item(call: Call, body: bytes) -> TaskItem:
    """The task that a body asks for; raises Malformed, Invalid."""
    if len(body) < LARGE:
        draft = new_task.read(body)
    else:
        draft = await asyncio.to_thread(new_task.read, body)
    types = call.context.types
    known = types.get(draft.new.type) or await types.find(draft.new.type)
    if known is None:
        raise new_task.unknown_type()
    return new_task.item(draft, known, _birth(call))


def _birth(call: Call) -> new_task.Birth:
    return new_task.Birth(str(uuid7()), call.principal.subject, datetime.now(UTC))


async def _answer(call: Call, item: TaskItem, text: bytes, result: Result) -> Answer:
    match result:
        case Created():
            _tell(call, item)
            wish = call.request.headers.get("Prefer")
            return _made(item.id, text) if wish is None else await _later(call, item, text, wish)
        case Replayed(answer=answer):
            return _replayed(answer)
        case KeyWasReused():
            raise KeyReused
        case Refused():
            raise Invalid([FieldError("", "the database cannot store this task")])
        case _:
            raise TypeError(f"no answer to a Create: {result!r}")


async def _later(call: Call, item: TaskItem, text: bytes, wish: str) -> Answer:
    """The same answer when the task has ended, for who would rather wait."""
    seconds = prefer_wait(wish)
    if not seconds:
        return _made(item.id, text)
    try:
        item = await wait_for(call, item.id, seconds)
    except Busy:
        return _made(item.id, text)  # it was only a wish, and the task is stored
    return _made(item.id, encode_item(item), (("Preference-Applied", f"wait={seconds:g}"),))


def _replayed(answer: bytes) -> Answer:
    """The kept 201, to the byte and at once: whatever has become of the task since."""
    id_ = msgspec.json.decode(answer, type=Known).id
    return _made(id_, answer, (("Idempotency-Replayed", "true"),))


def _made(id_: str, text: bytes, extra: Headers = ()) -> Answer:
    return Answer(201, text, headers=(("Location", f"/tasks/{id_}"), *extra))


def _tell(call: Call, item: TaskItem) -> None:
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
