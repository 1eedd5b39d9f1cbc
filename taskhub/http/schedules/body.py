"""The bodies that describe a schedule: their members, their rules, and the definition they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from taskhub.errors import FieldError, Invalid, Malformed
from taskhub.http.catalog import Catalog
from taskhub.http.members import broken, given, rule
from taskhub.http.new_task import (
    Attempts,
    Name,
    Priority,
    Timeout,
    Title,
    unknown_type,
)
from taskhub.http.strict_json import strictly
from taskhub.schedules.cron import LENGTH_LIMIT, SHAPE, ZONE, CronError, read
from taskhub.schedules.schedule import GRACE_MOST, Definition, Misfire, Overlap

T = TypeVar("T")

EMPTY = Raw(b"{}")

Expression = Annotated[str, Meta(min_length=1, max_length=LENGTH_LIMIT, description=SHAPE)]
Zone = Annotated[str, Meta(min_length=1, max_length=LENGTH_LIMIT, description=ZONE)]
Grace = Annotated[float, Meta(ge=0, le=GRACE_MOST, description=f"0 to {GRACE_MOST:g} seconds")]
OnMisfire = Annotated[Misfire, Meta(description=f"one of {', '.join(Misfire)}")]
OnOverlap = Annotated[Overlap, Meta(description=f"one of {', '.join(Overlap)}")]


class ScheduleBody(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """What is made and when. What is left out is as usual, or as the type has it."""

    cron: Expression
    time_zone: Zone = "UTC"
    title: Title | UnsetType = UNSET
    type: Name = "simulate"
    queue: Name | UnsetType = UNSET
    priority: Priority = 0
    payload: Any = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    timeout_seconds: Timeout | UnsetType = UNSET
    misfire: OnMisfire = Misfire.ONCE
    misfire_grace_seconds: Grace = 60.0
    overlap: OnOverlap = Overlap.SKIP


class NewSchedule(ScheduleBody, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A schedule with its name."""

    name: Name


RULES: Mapping[str, Any] = {
    "cron": Expression,
    "timeZone": Zone,
    "title": Title,
    "type": Name,
    "queue": Name,
    "priority": Priority,
    "payload": Any,
    "maxAttempts": Attempts,
    "timeoutSeconds": Timeout,
    "misfire": OnMisfire,
    "misfireGraceSeconds": Grace,
    "overlap": OnOverlap,
}
NEW_RULES = {"name": Name, **RULES}


class _Payload(msgspec.Struct):
    payload: Raw = EMPTY


_decode_payload = msgspec.json.Decoder(_Payload).decode


def new_schedule(body: bytes) -> tuple[str, ScheduleBody, Raw]:
    """Name, body and payload of a schedule that is to be made; raises Malformed, Invalid."""
    asked = _read(body, NewSchedule, NEW_RULES, ("name", "cron"))
    return asked.name, asked, _decode_payload(body).payload


def schedule_body(body: bytes) -> tuple[ScheduleBody, Raw]:
    """Body and payload of a schedule whose name is known; raises Malformed, Invalid."""
    return _read(body, ScheduleBody, RULES, ("cron",)), _decode_payload(body).payload


async def definition(name: str, asked: ScheduleBody, payload: Raw, types: Catalog) -> Definition:
    """The schedule as it is stored; raises Invalid with what nobody knows, or is never due."""
    _refuse_never(asked)
    known = types.get(asked.type) or await types.find(asked.type)
    if known is None:
        raise unknown_type()
    known.check(given(asked.payload, {}))
    return Definition(
        name=name,
        cron=asked.cron.strip(),
        time_zone=asked.time_zone,
        title=given(asked.title, name),
        type=asked.type,
        queue=given(asked.queue, ""),
        priority=asked.priority,
        payload=payload,
        max_attempts=given(asked.max_attempts, None),
        timeout_seconds=given(asked.timeout_seconds, None),
        misfire=asked.misfire,
        misfire_grace=asked.misfire_grace_seconds,
        overlap=asked.overlap,
    )


def _read(body: bytes, kind: type[T], rules: Mapping[str, Any], needed: Sequence[str]) -> T:
    value = strictly(body)
    errors = broken(value, rules)
    errors += [FieldError(f"/{n}", f"needed: {rule(rules[n])}") for n in needed if n not in value]
    if errors:
        raise Invalid(errors)
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError, OverflowError):
        raise Malformed("The body does not fit together.") from None


def _refuse_never(asked: ScheduleBody) -> None:
    """An expression that is never due, or a zone that is none, is a mistake of now."""
    try:
        read(asked.cron, asked.time_zone)
    except CronError as error:
        raise Invalid([FieldError(f"/{error.member}", str(error))]) from None
