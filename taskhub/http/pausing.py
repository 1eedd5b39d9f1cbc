"""Queues and types over HTTP: how they stand, pause, resume, drain; and why a task waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from taskhub.config.queues import limit_of
from taskhub.errors import NotFound
from taskhub.http.answers import Answer
from taskhub.http.auditing import mark, tell
from taskhub.http.call import Call
from taskhub.http.queries import (
    WAIT_LIMIT,
    Parameter,
    name_of,
    no_query,
    seconds_of,
    values,
)
from taskhub.http.reading import in_time
from taskhub.http.showing import fetch_theirs, task_id
from taskhub.ports import Missing, Refused, Touched
from taskhub.queues import Line, LineState, Pause, QueueState
from taskhub.why import why

LOOK = 0.25
"""Seconds between two looks whether something still runs."""

DRAIN = (
    Parameter(
        "wait",
        "wait",
        f"0 to {WAIT_LIMIT:g} seconds: answer when nothing of it runs, or then",
        seconds_of,
        {"type": "number", "minimum": 0, "maximum": WAIT_LIMIT},
    ),
)

_encode = msgspec.json.Encoder().encode


class QueueList(msgspec.Struct, frozen=True):
    """Every queue that is paused or has tasks that wait or run."""

    items: list[QueueState]


async def queues(call: Call) -> Answer:
    """How the queues stand."""
    no_query(call.request)
    return Answer(200, _encode(QueueList(await in_time(call.context.store.queues()))))


async def explain(call: Call) -> Answer:
    """Why a task does or does not run."""
    no_query(call.request)
    item = await fetch_theirs(call, task_id(call))
    limit = limit_of(call.context.settings().work, item.queue)
    found = await in_time(call.context.store.circumstances(item.id, limit))
    if found is None:
        raise NotFound
    return Answer(200, _encode(why(found, datetime.now(UTC), limit)))


def setting(line: Line, *, paused: bool) -> Callable[[Call], Awaitable[Answer]]:
    """The handler that pauses or resumes a queue or a type; 200 also where it was so already."""

    async def handler(call: Call) -> Answer:
        no_query(call.request)
        name = _name(call)
        await _set(call, line, name, "pause" if paused else "resume")
        return Answer(200, _encode(await _standing(call, line, name)))

    return handler


def draining(line: Line) -> Callable[[Call], Awaitable[Answer]]:
    """The handler that pauses and waits for what runs: 200 when nothing does, 202 while it does."""

    async def handler(call: Call) -> Answer:
        seconds = float(values(call.request.query, DRAIN).get("wait", 0.0))
        name = _name(call)
        await _set(call, line, name, "drain")
        standing = await _drained(call, line, name, seconds)
        return Answer(202 if standing.processing else 200, _encode(standing))

    return handler


def _name(call: Call) -> str:
    try:
        return name_of(call.request.match_info["name"])
    except ValueError:
        raise NotFound("No queue or type can have this name.") from None


async def _set(call: Call, line: Line, name: str, verb: str) -> None:
    """Put it into force, with its mark in the audit log where that changes something."""
    act = f"{verb} {line} {name}"
    write = Pause(line=line, name=name, paused=verb != "resume", audit=mark(call, act))
    (result,) = await call.put(write)
    match result:
        case Touched(count=count):
            if count:
                tell(call, act)
        case Missing() | Refused():
            raise NotFound("No worker has registered a type of this name.")
        case _:
            raise TypeError(f"no answer to a Pause: {result!r}")


async def _standing(call: Call, line: Line, name: str) -> LineState:
    standing = await in_time(call.context.store.standing(line, name))
    if standing is None:
        raise NotFound("No worker has registered a type of this name.")
    return standing


async def _drained(call: Call, line: Line, name: str, seconds: float) -> LineState:
    """How it stands when nothing of it runs, when somebody has resumed it, or when time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        standing = await _standing(call, line, name)
        left = until - loop.time()
        if not (standing.processing and standing.paused) or left <= 0:
            return standing
        await asyncio.sleep(min(LOOK, left))
