"""`POST /tasks/batch`: many tasks in one transaction, all or none or each for itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import msgspec

from taskhub.errors import FieldError, Invalid, Problem
from taskhub.http import following, new_task, new_tasks
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.creating import count_more, tell_created, tell_existing
from taskhub.http.following import strangers
from taskhub.http.idempotency import REPLAYED, Wish, kept, key_of, to_keep, wish
from taskhub.http.new_tasks import Drafts, Origin
from taskhub.http.problems import ErrorItem, KeyReused
from taskhub.http.queries import no_query
from taskhub.keys import Existing, Replayed, Told
from taskhub.keys import KeyReused as KeyWasReused
from taskhub.model import TaskId
from taskhub.ports import Create, Created, CreatedMany, CreateMany, NoParent, Refused, Result

ROUTE = b"POST /tasks/batch"
ERRORS_EACH = 10
"""Errors that are listed of one task, where each stands for itself."""
AT_ONCE = 100
"""Tasks that are told of before others have a turn of the event loop."""
UNSTORABLE = FieldError("", "the database cannot store this task")
THERE: Literal[200] = 200
MADE: Literal[201] = 201
PARTLY = 207
WRONG: Literal[422] = 422

Outcome = Created | Existing | NoParent | Refused


class BatchItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has become of one task: it has an id, or errors."""

    status: Literal[200, 201, 422]
    id: TaskId | None = None
    errors: tuple[ErrorItem, ...] = ()


class BatchAnswer(msgspec.Struct, frozen=True):
    """What has become of a batch; `items` are in the order of its tasks."""

    created: int
    existing: int
    refused: int
    items: list[BatchItem]


_encode = msgspec.json.Encoder().encode


async def create_many(call: Call) -> Answer:
    """Store new tasks; answer when they are on disk."""
    no_query(call.request)
    key = key_of(call)
    with call.context.batches.one_more():
        body = await call.json_body(call.context.settings().http.max_batch_body)
        async with call.context.batches.turn():
            asked = None
            if key is not None:
                asked = await asyncio.to_thread(wish, call, key, body, ROUTE)
            return await _answer(call, body, asked)


async def _answer(call: Call, body: bytes, asked: Wish | None) -> Answer:
    try:
        drafts = await asyncio.to_thread(new_tasks.read, body)
    except Problem as error:
        return await _again(call, asked, error)
    await count_more(call, len(drafts.each) - 1, "/tasks")
    try:
        each = await _creates(call, drafts)
    except Problem as error:
        return await _again(call, asked, error)
    return await _stored(call, each, asked, is_atomic=drafts.is_atomic)


async def _again(call: Call, asked: Wish | None, error: Problem) -> Answer:
    """The answer that was given when the rules were others; raises the error where none was."""
    told = None if asked is None else await kept(call, asked)
    if told is None:
        raise error
    return _replayed(told)


async def _creates(call: Call, drafts: Drafts) -> list[Create | Invalid]:
    """Each task or what is wrong with it; raises Invalid where one spoils all, Backlogged."""
    types = call.context.types
    known = {name: kind for name in drafts.types if (kind := await types.find(name)) is not None}
    named = drafts.named
    gone = await strangers(call, named) if named else frozenset()
    origin = Origin(call.principal.subject, datetime.now(UTC), call.trace_parent, gone)
    each = await asyncio.to_thread(new_tasks.creates, drafts, known, origin)
    if drafts.is_atomic and (wrong := new_tasks.refused(each)) is not None:
        raise wrong
    call.context.backlog.check(call.context.settings().limits)
    return each


async def _stored(
    call: Call, each: Sequence[Create | Invalid], asked: Wish | None, *, is_atomic: bool
) -> Answer:
    tell = partial(_told, each)
    creates = [one for one in each if isinstance(one, Create)]
    key = None if asked is None else to_keep(call, asked, tell)
    (result,) = await call.put(CreateMany(creates=creates, is_atomic=is_atomic, key=key))
    match result:
        case CreatedMany(results=results):
            await _tell_all(call, results)
            told = tell(result)
            return Answer(told.status, told.body)
        case Replayed(answer=told):
            return _replayed(told)
        case KeyWasReused():
            raise KeyReused
        case NoParent() as refusal:
            raise new_tasks.orphans(each, refusal)
        case Refused():
            raise Invalid([UNSTORABLE])
        case _:
            raise TypeError(f"no answer to a CreateMany: {result!r}")


async def _tell_all(call: Call, results: Sequence[Outcome]) -> None:
    for place, result in enumerate(results, 1):
        if isinstance(result, Created):
            tell_created(call, result.item)
        elif isinstance(result, Existing):
            tell_existing(call, result.item)
        if not place % AT_ONCE:
            await asyncio.sleep(0)


def _replayed(told: Told) -> Answer:
    return Answer(told.status, told.body, headers=REPLAYED)


def _told(each: Sequence[Create | Invalid], result: Result) -> Told:
    """The answer when this has come of those tasks that were valid."""
    assert isinstance(result, CreatedMany)
    stored = iter(result.results)
    items = [
        _refused(one.errors) if isinstance(one, Invalid) else _item(place, one, next(stored))
        for place, one in enumerate(each)
    ]
    counts = Counter(item.status for item in items)
    answer = BatchAnswer(counts[MADE], counts[THERE], counts[WRONG], items)
    return Told(_status(answer), _encode(answer))


def _status(answer: BatchAnswer) -> int:
    if answer.refused:
        return PARTLY
    return MADE if answer.created else THERE


def _item(place: int, create: Create, result: Outcome) -> BatchItem:
    match result:
        case Created(item=item):
            return BatchItem(MADE, item.id)
        case Existing(item=item):
            return BatchItem(THERE, item.id)
        case NoParent() as refusal:
            errors = following.refused(create.item.after, refusal)
            return _refused(new_task.moved(Invalid(errors), f"/tasks/{place}").errors)
        case Refused():
            return _refused([FieldError(f"/tasks/{place}", UNSTORABLE.detail)])


def _refused(errors: Sequence[FieldError]) -> BatchItem:
    listed = tuple(ErrorItem(e.pointer, e.detail) for e in errors[:ERRORS_EACH])
    return BatchItem(WRONG, errors=listed)
