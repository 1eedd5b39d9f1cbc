"""`POST /tasks`: from bytes to a task on disk, and the same answer again for the same key."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from uuid_utils import uuid7

from taskhub.errors import Busy, FieldError, Invalid
from taskhub.http import new_task
from taskhub.http.answers import Answer, Headers
from taskhub.http.call import Call
from taskhub.http.problems import BadHeader, KeyReused
from taskhub.http.queries import no_query, only_one, prefer_wait
from taskhub.http.showing import encode_item, wait_for
from taskhub.model import TaskItem
from taskhub.obs.telemetry import TaskCreated
from taskhub.ports import Create, Created, IdempotencyKey, Refused, Replayed, Result
from taskhub.ports import KeyReused as KeyWasReused

IDEMPOTENCY_KEY = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
LARGE = 65_536
"""Bodies from this size on are read in a thread, so that nobody waits behind them."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Known(msgspec.Struct):
    """What a kept answer is read for."""

    id: str


async def create(call: Call) -> Answer:
    """Store a new task; answer when it is on disk."""
    no_query(call.request)
    headers = call.request.headers
    name = only_one(headers.getall(IDEMPOTENCY_KEY, []), IDEMPOTENCY_KEY)
    body = await call.json_body()
    if len(body) < LARGE:
        draft = new_task.read(body)
    else:
        draft = await asyncio.to_thread(new_task.read, body)
    types = call.context.types
    known = types.get(draft.new.type) or await types.find(draft.new.type)
    if known is None:
        raise new_task.unknown_type()
    item = new_task.item(draft, known, _birth(call))
    text = encode_item(item)
    key = None if name is None else _key(call, name, body, text)
    (result,) = await call.put(Create(item=item, trace_parent=call.trace_parent, key=key))
    return await _answer(call, item, text, result)


def _birth(call: Call) -> new_task.Birth:
    return new_task.Birth(str(uuid7()), call.principal.subject, datetime.now(UTC))


async def _answer(call: Call, item: TaskItem, text: bytes, result: Result) -> Answer:
    match result:
        case Created():
            _tell(call, item)
            wish = call.request.headers.get("Prefer")
            return _made(item.id, text) if wish is None else await _later(call, item, text, wish)
        case Replayed(answer=kept):
            id_ = msgspec.json.decode(kept, type=Known).id
            return _made(id_, kept, (("Idempotency-Replayed", "true"),))
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


def _key(call: Call, name: str, body: bytes, answer: bytes) -> IdempotencyKey:
    """The key as it is stored with the task: nobody else's, for this route and this very body."""
    if not _KEY.fullmatch(name):
        raise BadHeader(f"{IDEMPOTENCY_KEY} must be 1 to 255 visible ASCII characters.")
    return IdempotencyKey(
        principal=call.principal.key,
        key=name,
        request_hash=sha256(b"POST /tasks\n" + body).hexdigest(),
        answer=answer,
        expires_at=datetime.now(UTC) + KEPT_FOR,
    )
