"""`POST /tasks`: from bytes to a task on disk, and the same answer again for the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict, replace
from uuid_utils import uuid7

from taskhub.errors import Busy, FieldError, Invalid, Problem
from taskhub.http import new_task
from taskhub.http.answers import Answer, Headers
from taskhub.http.call import Call
from taskhub.http.following import missing, refused, strangers
from taskhub.http.idempotency import REPLAYED, Wish, kept, key_of, to_keep, wish
from taskhub.http.limits import CREATE
from taskhub.http.new_task import Draft
from taskhub.http.problems import Exists, KeyReused
from taskhub.http.queries import no_query, prefer_wait
from taskhub.http.reading import LARGE
from taskhub.http.showing import encode_item, may_read, wait_for
from taskhub.keys import Existing, Replayed, Told
from taskhub.keys import KeyReused as KeyWasReused
from taskhub.model import TaskId, TaskItem
from taskhub.obs.telemetry import TaskCreated, TaskExisting
from taskhub.ports import (
    Create,
    Created,
    CreatedMany,
    CreateMany,
    NoParent,
    Refused,
    Result,
)

MADE, THERE = 201, 200
EXISTING: Headers = (("Task-Existing", "true"),)
"""Said of a task that holds the unique key which a new one asked for."""


UNIQUE_CHAIN = "none of a chain is unique: POST /tasks/batch makes chains of unique tasks"


class MadeTask(TaskItem, frozen=True, kw_only=True):
    """A new task; `then`: the ids of the tasks that follow it, in their order."""

    then: tuple[TaskId, ...] | UnsetType = UNSET


class Known(msgspec.Struct):
    """What a kept answer is read for."""

    id: str
    after: tuple[TaskId, ...] = ()
    then: tuple[TaskId, ...] | UnsetType = UNSET


async def create(call: Call) -> Answer:
    """Store a new task; answer when it is on disk."""
    no_query(call.request)
    key = key_of(call)
    body = await call.json_body()
    asked = None if key is None else wish(call, key, body)
    try:
        head, *steps = await _writes(call, body)
    except Problem:
        if asked is None or (answer := await kept(call, asked)) is None:
            raise
        return _replayed(answer)  # the rules have changed since, such as the type's schema
    if steps:
        return await _chained(call, (head, *steps), asked)
    text = encode_item(head.item)
    if asked is not None:
        told = Told(MADE, text) if head.unique is None else partial(_told, call, text)
        head = replace(head, key=to_keep(call, asked, told))
    (result,) = await call.put(head)
    return await _answer(call, text, result)


async def _writes(call: Call, body: bytes) -> list[Create]:
    """The task and then its chain, as the store is asked for them; raises Invalid, Backlogged."""
    if len(body) < LARGE:
        draft = new_task.read(body)
    else:
        draft = await asyncio.to_thread(new_task.read, body)
    after = [TaskId(str(one)) for one in draft.after]
    if after and (wrong := missing(after, await strangers(call, after))):
        raise Invalid(wrong)
    writes = [await _write(call, draft, after)]
    for place, step in enumerate(draft.then):
        try:
            writes.append(await _write(call, step, [writes[-1].item.id]))
        except Invalid as error:
            raise new_task.moved(error, f"/then/{place}") from None
    if draft.then and any(write.unique is not None for write in writes):
        raise Invalid([FieldError("/then", UNIQUE_CHAIN)])
    return writes


async def _write(call: Call, draft: Draft, after: Sequence[TaskId]) -> Create:
    types = call.context.types
    known = types.get(draft.new.type) or await types.find(draft.new.type)
    if known is None:
        raise new_task.unknown_type()
    item = new_task.item(draft, known, _birth(call), after)
    unique = new_task.unique_key(draft, known, item.created_at)
    call.context.backlog.check(call.context.settings().limits)
    return Create(item=item, trace_parent=call.trace_parent, unique=unique)


async def _chained(call: Call, creates: Sequence[Create], asked: Wish | None) -> Answer:
    """Store a task and those that follow it, all or none."""
    await count_more(call, len(creates) - 1, "/then")
    head, *steps = (create.item for create in creates)
    text = encode_item(MadeTask(**asdict(head), then=tuple(step.id for step in steps)))
    key = None if asked is None else to_keep(call, asked, Told(MADE, text))
    (result,) = await call.put(CreateMany(creates=creates, is_atomic=True, key=key))
    if isinstance(result, CreatedMany):
        for step in steps:
            tell_created(call, step)
        result = result.results[0]
    return await _answer(call, text, result)


async def count_more(call: Call, tasks: int, place: str) -> None:
    """Count more tasks against the limit than the one it knows of; raises RateLimited, Invalid."""
    rate = call.context.limits.rates.get(CREATE)
    if rate is None or not tasks:
        return
    if tasks >= rate.limit:
        rule = f"at most {rate.limit} tasks at once: the limit of new tasks allows no more"
        raise Invalid([FieldError(place, rule)])
    await call.count(CREATE, tasks)


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
        case NoParent() as refusal:
            after = msgspec.json.decode(text, type=Known).after
            raise Invalid(refused(after, refusal))
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
    then = msgspec.json.decode(told.body, type=Known).then
    ended = item if then is UNSET else MadeTask(**asdict(item), then=then)
    return _made(item.id, Told(told.status, encode_item(ended)), applied)


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
