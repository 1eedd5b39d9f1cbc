"""Acts on all tasks that match a search: counted first, then done in pieces that block nobody."""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from taskhub.bulk import Act, Acted, Bulk, allowed, told
from taskhub.errors import FieldError, Invalid, SearchError
from taskhub.finding import IdPage, TaskQuery
from taskhub.http.answers import Answer
from taskhub.http.auditing import mark, tell
from taskhub.http.call import Call
from taskhub.http.members import broken
from taskhub.http.queries import ID, no_query
from taskhub.http.reading import in_time
from taskhub.http.strict_json import strictly
from taskhub.messages import PASSING
from taskhub.model import Status, TaskId
from taskhub.search import EVERYTHING, LENGTH_LIMIT, Query, parse, printed

PIECE = 200
"""Tasks changed in one transaction: a claim waits for one of these at most."""
SPAN = 2_000
"""So many tasks are retried oldest first, so that one that is after others finds them alive."""

LIMIT_MOST = 10_000
SECONDS = 5.0
"""How long one request goes on; the answer says where the next one does."""

SAMPLES = 5
EVERY = TaskId("ffffffff-ffff-ffff-ffff-ffffffffffff")
"""The cursor before the newest task."""

Search = Annotated[
    str,
    Meta(
        max_length=LENGTH_LIMIT,
        description=f"a search of at most {LENGTH_LIMIT} characters; see docs/search.md",
    ),
]
Flag = Annotated[bool, Meta(description="true or false")]
Limit = Annotated[
    int, Meta(ge=1, le=LIMIT_MOST, description=f"1 to {LIMIT_MOST} tasks in this request")
]
Cursor = Annotated[
    str, Meta(pattern=rf"^{ID.pattern}$", description="the `next` of the answer before")
]


class BulkWish(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Which tasks, and how many of them now. `all` says that a missing search is no slip."""

    q: Search = ""
    all: Flag = False
    dry_run: Flag = False
    limit: Limit = LIMIT_MOST
    cursor: Cursor | UnsetType = UNSET


class Sample(msgspec.Struct, frozen=True, rename="camel"):
    """One of the tasks that a count has found, in short."""

    id: TaskId
    title: str
    type: str
    queue: str
    status: Status
    created_at: datetime


class BulkReport(msgspec.Struct, frozen=True, rename="camel"):
    """What was found and done. `next`: there is more; send the same again with it as `cursor`."""

    matched: int
    changed: int
    skipped: int
    next: str | None
    sample: Sequence[Sample] = ()


RULES: Mapping[str, Any] = {
    "q": Search,
    "all": Flag,
    "dryRun": Flag,
    "limit": Limit,
    "cursor": Cursor,
}
NEEDS_ALL = FieldError("/q", "needed; to mean every task, send all: true")
NOT_BOTH = FieldError("/all", "true goes without a search")

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Errand:
    """One request at work: how far it has come and what it has done."""

    act: Act
    where: Query
    search: str
    limit: int
    next: TaskId | None
    until: float = field(default_factory=lambda: get_running_loop().time() + SECONDS)
    matched: int = 0
    changed: int = 0
    skipped: int = 0
    sample: Sequence[Sample] = ()
    is_long: bool = False
    """Whether it takes more than one piece."""

    def add(self, acted: Acted) -> None:
        """One piece more is done."""
        self.changed += acted.changed
        self.skipped += acted.skipped
        self.matched = self.changed + self.skipped

    @property
    def left(self) -> int:
        """How many tasks may still be taken."""
        return self.limit - self.matched

    @property
    def goes_on(self) -> bool:
        """Whether there is more to do, and time for it."""
        return self.next is not None and self.left > 0 and get_running_loop().time() < self.until

    def query(self, limit: int) -> TaskQuery:
        """The tasks that come next."""
        return TaskQuery(where=self.where, cursor=self.next, limit=limit)


async def _answer(act: Act, call: Call) -> Answer:
    no_query(call.request)
    wish = read(await call.json_body())
    errand = _errand(act, wish)
    await (_count(call, errand) if wish.dry_run else _do(call, errand))
    report = BulkReport(
        errand.matched, errand.changed, errand.skipped, errand.next, tuple(errand.sample)
    )
    return Answer(200, _encode(report))


cancel = partial(_answer, Act.CANCEL)
retry = partial(_answer, Act.RETRY)
delete = partial(_answer, Act.DELETE)


def read(body: bytes) -> BulkWish:
    """What a body asks for; raises Malformed, or Invalid with every broken rule."""
    value = strictly(body)
    if errors := broken(value, RULES):
        raise Invalid(errors)
    wish = msgspec.convert(value, BulkWish)
    if wish.all == bool(wish.q.strip()):
        raise Invalid([NOT_BOTH if wish.all else NEEDS_ALL])
    return wish


def _errand(act: Act, wish: BulkWish) -> Errand:
    """What is to be done; raises Invalid where the search is not understood."""
    try:
        query = parse(wish.q) if wish.q else EVERYTHING
    except SearchError as error:
        raise Invalid([error]) from None
    cursor = None if wish.cursor is UNSET else TaskId(wish.cursor)
    return Errand(
        act=act,
        where=query & allowed(act),
        search=printed(query) or "all",
        limit=sys.maxsize if wish.dry_run else wish.limit,
        next=cursor,
    )


async def _count(call: Call, errand: Errand) -> None:
    """How many there are, and what some of them are."""
    store = call.context.store
    page = await in_time(store.find(errand.query(SAMPLES)))
    errand.sample = [
        Sample(item.id, item.title, item.type, item.queue, item.status, item.created_at)
        for item in page.items
    ]
    while True:
        count = await in_time(store.count(errand.query(1)))
        errand.matched += count.count
        errand.next = count.next
        if not errand.goes_on:
            return


async def _do(call: Call, errand: Errand) -> None:
    """Piece by piece. Trouble after the first piece ends the request with what was done."""
    try:
        await _piece(call, errand)
        while errand.goes_on:
            await _piece(call, errand)
    except PASSING:
        if not errand.matched:
            raise
    if errand.matched:
        await _tell(call, errand)


async def _piece(call: Call, errand: Errand) -> None:
    most = SPAN if errand.act is Act.RETRY else PIECE
    found = await in_time(call.context.store.find_ids(errand.query(min(most, errand.left))))
    if found.ids:
        if errand.act is Act.RETRY:
            errand.next = errand.next or EVERY  # so far it has come if trouble ends it
        await _change(call, errand, found)
    errand.next = found.next


async def _change(call: Call, errand: Errand, found: IdPage) -> None:
    """The oldest first, as they were made."""
    is_more = found.next is not None and errand.limit > len(found.ids)
    for end in range(len(found.ids), 0, -PIECE):
        ids = found.ids[max(0, end - PIECE) : end]
        await _put(call, errand, ids, is_more=is_more or end > PIECE)


async def _put(call: Call, errand: Errand, ids: Sequence[TaskId], *, is_more: bool) -> None:
    """The first of several pieces says that something begins, a lone one all that there is."""
    begins, audit = [], None
    if not errand.matched:
        errand.is_long = is_more
        if errand.is_long:
            begins = [mark(call, f"bulk {errand.act} begins: {errand.search}")]
        else:
            audit = mark(call, errand.search)
    acted, *_ = await call.put(Bulk(act=errand.act, ids=ids, audit=audit), *begins)
    assert isinstance(acted, Acted)
    errand.add(acted)


async def _tell(call: Call, errand: Errand) -> None:
    """What came of it; the entry of a long act follows its last piece."""
    line = told(errand.act, Acted(errand.changed, errand.skipped), errand.search)
    tell(call, line)
    if errand.is_long:
        with suppress(*PASSING):  # the tasks are changed, and that it began is on disk
            await call.put(mark(call, line))
