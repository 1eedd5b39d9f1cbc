"""Looks at schedules: pages, one of them, its runs, and what a cron expression means."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime

import msgspec

from taskhub.errors import FieldError
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.conditional import conditional, etag
from taskhub.http.problems import BadQuery
from taskhub.http.queries import Parameter, limit_of, matched, name_of, no_query, values
from taskhub.http.reading import in_time
from taskhub.http.schedules.items import (
    SHOWN,
    RunList,
    detail_of,
    explanation,
    item_of,
    run_item,
)
from taskhub.http.schedules.problems import NoSchedule
from taskhub.http.showing import REVALIDATE
from taskhub.model import NAME_PATTERN, micros_from_utc, utc_from_micros
from taskhub.schedules.cron import LENGTH_LIMIT, SHAPE, ZONE, Cron, CronError, read
from taskhub.schedules.schedule import RunQuery, Schedule, SchedulePage, ScheduleQuery

COUNT_MOST = 20
PAGE_BYTES = 4 * 1024 * 1024
_NUMBER = re.compile(r"[0-9]{1,2}", re.ASCII)
_MICROS = re.compile(r"[0-9]{1,17}", re.ASCII)
_encode = msgspec.json.Encoder().encode


def _place(text: str) -> datetime:
    return utc_from_micros(int(matched(_MICROS, text)))


def _short(text: str) -> str:
    if len(text) > LENGTH_LIMIT:
        raise ValueError(text)
    return text


def _count(text: str) -> int:
    number = int(matched(_NUMBER, text))
    if not 1 <= number <= COUNT_MOST:
        raise ValueError(text)
    return number


LIST = (
    Parameter(
        "cursor",
        "cursor",
        "the `next` of the page before",
        name_of,
        {"type": "string", "pattern": NAME_PATTERN, "examples": ["nightly-report"]},
    ),
    limit_of("schedules"),
)
CRON = (
    Parameter(
        "expression",
        "expression",
        SHAPE,
        _short,
        {"type": "string", "maxLength": LENGTH_LIMIT, "examples": ["0 6 * * MON-FRI"]},
        is_needed=True,
    ),
    Parameter(
        "timeZone",
        "time_zone",
        f"{ZONE}, which it is when absent",
        _short,
        {"type": "string", "maxLength": LENGTH_LIMIT, "examples": ["Europe/Berlin"]},
    ),
    Parameter(
        "count",
        "count",
        f"1 to {COUNT_MOST} of its next times; {SHOWN} when absent",
        _count,
        {"type": "integer", "minimum": 1, "maximum": COUNT_MOST, "default": SHOWN},
    ),
)
RUNS = (
    Parameter(
        "cursor",
        "before",
        "the `next` of the page before",
        _place,
        {"type": "string", "pattern": f"^{_MICROS.pattern}$", "examples": ["1764022637000000"]},
    ),
    limit_of("runs"),
)


async def find(call: Call) -> Answer:
    """A page of schedules, by name."""
    query = ScheduleQuery(**values(call.request.query, LIST))
    page = await in_time(call.context.store.schedules(query))
    return Answer(200, await asyncio.to_thread(_page_text, page))


async def show(call: Call) -> Answer:
    """One schedule, with the task of its last run."""
    no_query(call.request)
    schedule = await fetch(call)
    last = schedule.last
    found = await in_time(call.context.store.get([last.task_id])) if last is not None else []
    detail = detail_of(schedule, found[0] if found else None)
    text = _encode(detail)
    answer = Answer(200, text, cache=REVALIDATE)
    return conditional(call.request, answer, tag(schedule, text))


async def runs(call: Call) -> Answer:
    """What became of a schedule's due times, newest first; also of one that was deleted."""
    name = name_in_path(call)
    query = RunQuery(schedule=name, **values(call.request.query, RUNS))
    page = await in_time(call.context.store.runs(query))
    if not page.items:
        await fetch(call)
    cursor = None if page.next is None else str(micros_from_utc(page.next))
    return Answer(200, _encode(RunList([run_item(run) for run in page.items], cursor)))


async def explain(call: Call) -> Answer:
    """A cron expression in words; nothing is stored."""
    said = values(call.request.query, CRON)
    cron = _read_cron(said["expression"], said.get("time_zone", "UTC"))
    told = await asyncio.to_thread(explanation, cron, said.get("count", SHOWN))
    return Answer(200, _encode(told))


def _read_cron(expression: str, time_zone: str) -> Cron:
    try:
        return read(expression, time_zone)
    except CronError as error:
        name = "expression" if error.member == "cron" else error.member
        raise BadQuery([FieldError(f"/{name}", f"expected once: {error}")]) from None


def name_in_path(call: Call) -> str:
    """The name in the path; raises NoSchedule for what cannot be one."""
    try:
        return name_of(call.request.match_info["name"])
    except ValueError:
        raise NoSchedule from None


async def fetch(call: Call) -> Schedule:
    """The schedule of the path; raises NoSchedule."""
    found = await in_time(call.context.store.schedule(name_in_path(call)))
    if found is None:
        raise NoSchedule
    return found


def tag(schedule: Schedule, text: bytes) -> str:
    """Its validator: the version first, which is all that a change must know."""
    return f'"{schedule.version}-{etag(text)[1:]}'


def _page_text(page: SchedulePage) -> bytes:
    """The page as JSON; it ends early when its schedules are large together."""
    texts: list[bytes] = []
    size = 0
    cursor = page.next
    for schedule in page.items:
        text = _encode(item_of(schedule))
        size += len(text)
        if texts and size > PAGE_BYTES:
            cursor = page.items[len(texts) - 1].definition.name
            break
        texts.append(text)
    end = b"null" if cursor is None else b'"' + cursor.encode() + b'"'
    return b'{"items":[' + b",".join(texts) + b'],"next":' + end + b"}"
