"""`PUT /work/types`: how types become known that only external workers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from taskhub.errors import Busy, Conflict, FieldError, Invalid
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.external import bodies
from taskhub.http.external.schemas import PARTS_MOST, is_cheap
from taskhub.http.queries import no_query
from taskhub.http.reading import in_time
from taskhub.model import DEFAULTS_KEY, EXTERNAL, TypeDefaults, TypeInfo
from taskhub.ports import Register

SCHEMA_LIMIT = 16_384
"""Bytes of one schema: every API process keeps all of them compiled."""
MOST = 1_000
"""Types that may be known at all."""

_encode = msgspec.json.Encoder().encode


class OwnType(Conflict):
    """A type of this name is done by TaskHub's own workers."""

    code = "own-type"


async def register(call: Call) -> Answer:
    """Make types known, or give them other defaults; those of TaskHub's own workers stay theirs."""
    no_query(call.request)
    asked = await bodies.read(await call.json_body(), bodies.NewTypes)
    if errors := _wrong(asked.types):
        raise Invalid(errors)
    known = await _known(call)
    for new in asked.types:
        if new.name in known and not known[new.name].is_external:
            raise OwnType
    if len(known.keys() | {new.name for new in asked.types}) > MOST:
        raise Busy(f"There are {MOST:,} types already.")
    infos = [_info(call, new) for new in asked.types]
    if any(known.get(info.name) != info for info in infos):
        await call.put(Register(types=infos))
        await call.context.types.look()
    return Answer(200, _encode(bodies.KnownTypes([info.name for info in infos])))


async def check_types(call: Call, names: Sequence[str]) -> None:
    """Whether external workers do all of these; raises Invalid."""
    found = [call.context.types.get(name) for name in names]
    if all(type_ is not None and type_.info.is_external for type_ in found):
        return
    known = await _known(call)
    errors = [
        FieldError(f"/types/{place}", _why_not(known.get(name)))
        for place, name in enumerate(names)
        if name not in known or not known[name].is_external
    ]
    if errors:
        raise Invalid(errors)


def _why_not(info: TypeInfo | None) -> str:
    if info is None:
        return "no type of this name is registered: PUT /work/types makes it known"
    return OwnType().detail


async def _known(call: Call) -> Mapping[str, TypeInfo]:
    """As the store has them now, and those that need no worker to be known."""
    stored = await in_time(call.context.store.types())
    return {**call.context.types.fixed} | {info.name: info for info in stored}


def _info(call: Call, new: bodies.NewType) -> TypeInfo:
    defaults = TypeDefaults(
        queue=new.queue,
        timeout_seconds=new.timeout_seconds,
        max_attempts=new.max_attempts,
        keep_result_seconds=new.keep_result_seconds,
    )
    schema = {**new.payload_schema, DEFAULTS_KEY: msgspec.to_builtins(defaults)}
    return TypeInfo(new.name, schema, f"{EXTERNAL}{call.principal.subject}")


def _wrong(types: Sequence[bodies.NewType]) -> list[FieldError]:
    names = [new.name for new in types]
    errors = []
    for place, new in enumerate(types):
        if names.index(new.name) != place:
            errors.append(FieldError(f"/types/{place}/name", "each name once"))
        if not _is_schema(new.payload_schema):
            errors.append(
                FieldError(
                    f"/types/{place}/payloadSchema",
                    f"a JSON Schema of at most {SCHEMA_LIMIT:,} bytes, whose references lead "
                    f"to its own parts, never back, and make it {PARTS_MOST:,} parts at most",
                )
            )
    return errors


def _is_schema(schema: dict[str, object]) -> bool:
    return len(_encode(schema)) <= SCHEMA_LIMIT and is_cheap(schema)
