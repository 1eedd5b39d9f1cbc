"""`GET /types`: which types there are, what their payloads must be, and who does them still."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from taskhub.errors import Conflict, NotFound
from taskhub.http.answers import Answer
from taskhub.http.auditing import mark, tell
from taskhub.http.call import Call
from taskhub.http.catalog import Catalog, defaults_of
from taskhub.http.queries import no_query
from taskhub.http.reading import in_time
from taskhub.model import DEFAULTS_KEY
from taskhub.ports import Touched
from taskhub.registration import Forget, Registration, Standing
from taskhub.telling import DELIVERY

_encode = msgspec.json.Encoder().encode


class NoType(NotFound):
    """No type of this name is registered."""

    code = "no-type"


class TypeInUse(Conflict):
    """A worker does this type: it would be registered again at once."""

    code = "type-in-use"


class TypeRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A type of tasks: what its payload must be, and what a new task of it gets by itself."""

    name: str
    payload_schema: dict[str, Any]
    queue: str
    timeout_seconds: float
    max_attempts: int
    keep_result_seconds: float | None
    """How long results of it are kept; null: as the configuration has it."""
    external: bool
    """Whether workers do it that claim over HTTP, and none of TaskHub's own."""
    standing: Standing
    """`active`: some worker does it; `away`: none has said so for a while; `unknown`: tasks of it
    wait, and nobody has registered it."""
    registered_at: datetime | None
    """When it last came to be as it is."""
    seen_at: datetime | None
    """When a worker has last said that it does it."""
    waiting: int
    """Tasks of it that wait; from 10,000 in one queue on there may be more."""


class TypeList(msgspec.Struct, frozen=True):
    """Every type that is known, or of which tasks wait, by name."""

    items: list[TypeRow]


async def show_all(call: Call) -> Answer:
    """Every type."""
    no_query(call.request)
    return Answer(200, _encode(TypeList(list((await _rows(call)).values()))))


async def show(call: Call) -> Answer:
    """One type."""
    no_query(call.request)
    row = (await _rows(call)).get(call.request.match_info["name"])
    if row is None:
        raise NoType
    return Answer(200, _encode(row))


async def forget(call: Call) -> Answer:
    """Take a type away that nobody does any more: new tasks of it are refused, old ones stay."""
    no_query(call.request)
    name = call.request.match_info["name"]
    row = (await _rows(call)).get(name)
    if row is None or row.registered_at is None:
        raise NoType
    if row.standing is Standing.ACTIVE:
        raise TypeInUse
    act = f"forget type {name}"
    done, _ = await call.put(Forget(name=name), mark(call, act))
    if not isinstance(done, Touched) or not done.count:
        raise NoType
    await call.context.types.look()
    tell(call, act)
    return Answer(204)


async def _rows(call: Call) -> dict[str, TypeRow]:
    stored = await in_time(call.context.store.registrations())
    known = {each.info.name: each for each in stored if each.info.name != DELIVERY}  # ours to make
    await _learn(call.context.types, stored)
    for name, info in call.context.types.fixed.items():
        if name not in known or known[name].registered_at is None:
            waiting = known[name].waiting if name in known else 0
            known[name] = Registration(info=info, is_fixed=True, waiting=waiting)
    now = datetime.now(UTC)
    return {name: _row(known[name], now) for name in sorted(known)}


async def _learn(types: Catalog, stored: Iterable[Registration]) -> None:
    """What is shown here must be taken: the bell for a new type may be late, or lost."""
    registered = (each.info.name for each in stored if each.registered_at is not None)
    if any(types.get(name) is None for name in registered):
        await types.look()


def _row(each: Registration, now: datetime) -> TypeRow:
    defaults = defaults_of(each.info)
    keep = defaults.keep_result_seconds
    return TypeRow(
        name=each.info.name,
        payload_schema={k: v for k, v in each.info.schema.items() if k != DEFAULTS_KEY},
        queue=defaults.queue,
        timeout_seconds=defaults.timeout_seconds,
        max_attempts=defaults.max_attempts,
        keep_result_seconds=None if keep is UNSET else keep,
        external=each.info.is_external,
        standing=each.standing(now),
        registered_at=each.registered_at,
        seen_at=each.seen_at,
        waiting=each.waiting,
    )
