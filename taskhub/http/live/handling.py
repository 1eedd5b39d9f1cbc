"""`GET /events` and `GET /tasks/{id}/events`: where a listener begins, or the history as JSON."""

from __future__ import annotations

import re

import msgspec
from aiohttp import hdrs

from taskhub import telling
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.live import frames
from taskhub.http.live.frames import EventList
from taskhub.http.live.listener import Listener, Start
from taskhub.http.live.tail import is_lost
from taskhub.http.live.wanted import HISTORY, Wanted, wanted
from taskhub.http.problems import NotAcceptable, OutOfScope
from taskhub.http.queries import no_query, only_one, values
from taskhub.http.reading import in_time
from taskhub.http.showing import fetch_theirs, task_id
from taskhub.model import TaskItem
from taskhub.ports import EventPage, EventQuery

STREAM = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
NOW = "no-store, no-transform"
"""Neither kept nor packed by whoever stands between: each event must pass at once."""
HEADERS = (("X-Accel-Buffering", "no"), (hdrs.VARY, hdrs.ACCEPT))

_SEQ = re.compile(r"[0-9]{1,18}", re.ASCII)
_encode = msgspec.json.Encoder().encode


async def follow(call: Call) -> Answer:
    """Every event that is wanted, from now on or after `Last-Event-ID`."""
    what = wanted(call.request.query)
    named = _accepted(call)
    if not {STREAM, "text/*", "*/*"} & named:
        raise NotAcceptable
    page = await _bounds(call)
    return _stream(call, what, _start(call, page, page.newest, page.newest))


async def history(call: Call) -> Answer:
    """What has happened to a task: a page of JSON, or a stream until it has ended."""
    if STREAM not in _accepted(call):
        return await _page(call)
    no_query(call.request)
    item = await fetch_theirs(call, task_id(call))
    page = await _bounds(call)
    first = max(0, page.oldest - 1)
    return _stream(call, Wanted(task=item.id), _start(call, page, first, first), item)


async def _page(call: Call) -> Answer:
    asked = values(call.request.query, HISTORY)
    item = await fetch_theirs(call, task_id(call))
    limit = asked.get("limit", 50)
    query = EventQuery(after=asked.get("after", 0), limit=limit + 1, task=item.id)
    found = (await in_time(call.context.store.events(query))).items
    items = [telling.item(event) for event in found[:limit]]
    more = items[-1].seq if len(found) > limit else None
    vary = ((hdrs.VARY, hdrs.ACCEPT),)
    return Answer(200, _encode(EventList(items, more)), headers=vary)


async def _bounds(call: Call) -> EventPage:
    """How far the table reaches now."""
    call.context.live.refuse_a_crowd()
    return await in_time(call.context.store.events(EventQuery(limit=0)))


def _start(call: Call, page: EventPage, fresh: int, again: int) -> Start:
    """After the last event that the client has; `fresh` without one, `again` when it is lost."""
    given = only_one(call.request.headers.getall(LAST_EVENT_ID, []), LAST_EVENT_ID)
    until = call.principal.until
    if not given:
        return Start(fresh, b"", until)
    position = int(given) if _SEQ.fullmatch(given) else -1
    if position >= 0 and not is_lost(position, page):
        return Start(position, b"", until)
    return Start(again, frames.reset(page.oldest, page.newest, again), until)


def _stream(call: Call, what: Wanted, start: Start, item: TaskItem | None = None) -> Answer:
    async def admit() -> float:
        return await _until(call)

    ended = None if item is None else item.status.is_final
    source = Listener(call.context.live, what, start, admit, task_ended=ended)
    return Answer(200, b"", STREAM, HEADERS, NOW, source=source)


async def _until(call: Call) -> float:
    """How long the client's token is good, asked anew; raises as `Verifier.find`, or OutOfScope."""
    who = await call.context.verifier.find(call.request.headers[hdrs.AUTHORIZATION])
    if not call.access.admits(who):
        raise OutOfScope
    return who.until


def _accepted(call: Call) -> set[str]:
    """The media types that the client names; one without a wish takes anything."""
    fields = call.request.headers.getall(hdrs.ACCEPT, [])
    ranges = [part.partition(";")[0].strip().lower() for f in fields for part in f.split(",")]
    return set(ranges) - {""} or {"*/*"}
