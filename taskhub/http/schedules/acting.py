"""Acts on schedules: make, change, pause, resume, run, delete; each is audited."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from aiohttp import hdrs
from uuid_utils import uuid7

from taskhub.errors import Conflict, FieldError, Invalid
from taskhub.http.answers import Answer, Headers
from taskhub.http.auditing import mark, tell, who
from taskhub.http.call import Call
from taskhub.http.queries import no_query
from taskhub.http.reading import in_time
from taskhub.http.schedules.body import definition, new_schedule, schedule_body
from taskhub.http.schedules.items import answer_of, item_of
from taskhub.http.schedules.looking import fetch, name_in_path, tag
from taskhub.http.schedules.problems import (
    Changed,
    DeclaredElsewhere,
    NameTaken,
    NoSchedule,
    Overlapping,
    TooMany,
)
from taskhub.model import TypeDefaults
from taskhub.ports import Refused, Result
from taskhub.schedules.cron import CronError, next_after, read
from taskhub.schedules.making import Birth, task
from taskhub.schedules.schedule import Definition, RunOutcome, Schedule
from taskhub.schedules.writes import (
    Absent,
    Crowded,
    Declared,
    DropSchedule,
    Fired,
    Outdated,
    PauseSchedule,
    ResumeSchedule,
    Saved,
    SaveSchedule,
    TriggerSchedule,
)

_encode = msgspec.json.Encoder().encode


async def create(call: Call) -> Answer:
    """A new schedule; 409 where there is one of the name."""
    no_query(call.request)
    name, asked, payload = new_schedule(await call.json_body())
    made = await definition(name, asked, payload, call.context.types)
    saved = await _save(call, made, expect=0)
    if isinstance(saved, Outdated):
        raise NameTaken
    return _saved(saved, 201)


async def put(call: Call) -> Answer:
    """A schedule as the body describes it: made (201) or changed (200)."""
    no_query(call.request)
    name = name_in_path(call)
    asked, payload = schedule_body(await call.json_body())
    found = await in_time(call.context.store.schedule(name))
    expect = _expected(call, found)
    made = await definition(name, asked, payload, call.context.types)
    saved = await _save(call, made, expect=expect, is_new=found is None)
    if isinstance(saved, Outdated):
        raise Changed
    return _saved(saved, 201 if saved.made else 200)


async def delete(call: Call) -> Answer:
    """Delete one; its tasks stay."""
    no_query(call.request)
    found = await fetch(call)
    act = f"schedule delete {found.definition.name}"
    write = DropSchedule(
        name=found.definition.name, expect=_expected(call, found), audit=mark(call, act)
    )
    (result,) = await call.put(write)
    _good(result)
    tell(call, act)
    return Answer(204)


async def pause(call: Call) -> Answer:
    """Handle no more due times until it is resumed."""
    no_query(call.request)
    found = await fetch(call)
    name, act = found.definition.name, f"schedule pause {found.definition.name}"
    write = PauseSchedule(
        name=name, by=who(call), expect=_expected(call, found), audit=mark(call, act)
    )
    return await _switch(call, found, write, act)


async def resume(call: Call) -> Answer:
    """Go on from now: what was due while it was paused is not made up for."""
    no_query(call.request)
    found = await fetch(call)
    name, act = found.definition.name, f"schedule resume {found.definition.name}"
    write = ResumeSchedule(
        name=name,
        next_at=_next(found.definition),
        by=who(call),
        expect=_expected(call, found),
        audit=mark(call, act),
    )
    return await _switch(call, found, write, act)


async def run(call: Call) -> Answer:
    """A run now: 201 with its task, or 202 where it waits for the run before it."""
    no_query(call.request)
    found = await fetch(call)
    asked, now = found.definition, datetime.now(UTC)
    known = call.context.types.get(asked.type) or await call.context.types.find(asked.type)
    defaults = TypeDefaults() if known is None else known.defaults
    item = task(asked, defaults, Birth(str(uuid7()), now, now))
    act = f"schedule run {asked.name}"
    write = TriggerSchedule(name=asked.name, item=item, audit=mark(call, act))
    (result,) = await call.put(write)
    fired = _fired(result)
    tell(call, act, fired.task_id)
    text = _encode(answer_of(fired))
    if fired.task_id is None:
        return Answer(202, text)
    return Answer(201, text, headers=(("Location", f"/tasks/{fired.task_id}"),))


# ---- what they share


def _expected(call: Call, found: Schedule | None) -> int | None:
    """The version that must still be there, where the client says so; raises Changed.

    A tag begins with the version: a run that has ended meanwhile changes the tag, and is no change
    that anybody could overwrite.
    """
    headers = call.request.headers
    if found is not None and "*" in _tags(headers.getall(hdrs.IF_NONE_MATCH, [])):
        raise Changed
    if not (fields := headers.getall(hdrs.IF_MATCH, [])):
        return 0 if hdrs.IF_NONE_MATCH in headers and found is None else None
    if found is not None:
        for tag in _tags(fields):
            if tag == "*" or tag.startswith(f'"{found.version}-'):
                return found.version
    raise Changed


def _tags(fields: list[str]) -> list[str]:
    return [part.strip() for field in fields for part in field.split(",")]


async def _save(
    call: Call, made: Definition, *, expect: int | None, is_new: bool = True
) -> Saved | Outdated:
    act = f"schedule {'create' if is_new else 'change'} {made.name}"
    next_at = _next(made)
    assert next_at is not None, "an expression that is never due is refused"
    write = SaveSchedule(
        definition=made, next_at=next_at, by=who(call), expect=expect, audit=mark(call, act)
    )
    (result,) = await call.put(write)
    if isinstance(result, Outdated):
        return result
    saved = _good(result)
    tell(call, act)
    return saved


async def _switch(
    call: Call, found: Schedule, write: PauseSchedule | ResumeSchedule, act: str
) -> Answer:
    (result,) = await call.put(write)
    saved = _good(result)
    if saved.schedule.version != found.version:
        tell(call, act)
    return _saved(saved, 200)


def _good(result: Result) -> Saved:
    """What was saved; raises what stood in the way."""
    match result:
        case Saved():
            return result
        case Absent():
            raise NoSchedule
        case Outdated():
            raise Changed
        case Declared(source=source):
            raise DeclaredElsewhere(source)
        case Crowded():
            raise TooMany
        case Refused():
            raise Invalid([FieldError("", "the database cannot store this schedule")])
        case _:
            raise TypeError(f"no answer of a schedule: {result!r}")


def _fired(result: Result) -> Fired:
    """What runs or waits; raises what stood in the way."""
    match result:
        case Fired(outcome=RunOutcome.SKIPPED):
            raise Overlapping
        case Fired():
            return result
        case Absent():
            raise NoSchedule
        case _:
            raise TypeError(f"no answer to a Trigger: {result!r}")


def _saved(saved: Saved, status: int) -> Answer:
    schedule = saved.schedule
    text = _encode(item_of(schedule))
    headers: Headers = (("ETag", tag(schedule, text)),)
    if status == 201:  # noqa: PLR2004 - made
        headers = (("Location", f"/schedules/{schedule.definition.name}"), *headers)
    return Answer(status, text, headers=headers)


def _next(asked: Definition) -> datetime | None:
    try:
        return next_after(read(asked.cron, asked.time_zone), datetime.now(UTC))
    except CronError:
        raise Conflict("The time zone of this schedule is not known on this machine.") from None
