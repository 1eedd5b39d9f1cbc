"""What external workers say: the shapes of their bodies, and which rule a wrong one breaks."""

from __future__ import annotations

from asyncio import to_thread
from datetime import datetime
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from taskhub.errors import FieldError, Invalid, Malformed
from taskhub.http.members import fits, rule
from taskhub.http.new_task import END, Attempts, Name, Timeout
from taskhub.http.reading import LARGE
from taskhub.http.strict_json import is_plain, strictly
from taskhub.model import Parent, TaskId, TaskItem

T = TypeVar("T")

LIMIT_MOST = 100
TYPES_MOST = 100
LEASE_MOST = 3_600.0
WAIT_MOST = 60.0
YEAR = 366 * 86_400
LEASE = 30.0

LeaseSeconds = Annotated[
    float, Meta(ge=1, le=LEASE_MOST, description="seconds that the lease lasts, 1 to 3600")
]
Token = Annotated[
    str,
    Meta(
        pattern=rf"^[0-9]{{1,18}}\.[A-Za-z0-9_-]{{22}}${END}",
        description="the `lease` that came with the task",
        examples=["1.Zm9ydHktdHdvIGJ5dGVzIQ"],
    ),
]
Names = Annotated[
    list[Name],
    Meta(min_length=1, max_length=TYPES_MOST, description="1 to 100 names"),
]
Queues = Annotated[
    list[Name],
    Meta(max_length=TYPES_MOST, description="up to 100 names of queues; none: all of them"),
]
WorkerName = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9_.:-]{{0,63}}${END}",
        description="what the worker is called: 1 to 64 letters, digits and any of _ . : -",
    ),
]
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MOST, description="at most so many tasks, 1 to 100")]
Wait = Annotated[
    float,
    Meta(ge=0, le=WAIT_MOST, description="seconds to wait for a task where there is none, 0 to 60"),
]
Hold = Annotated[
    float,
    Meta(
        ge=0,
        le=LEASE_MOST,
        description=(
            "seconds, 0 to 3600, to hold the answer back until somebody wishes the task's cancel; "
            "never more than 60, nor than half of the lease"
        ),
    ),
]
Fraction = Annotated[float, Meta(ge=0, le=1, description="how much is done, 0 to 1")]
Said = Annotated[str, Meta(max_length=200, description="up to 200 characters")]
Data = Annotated[
    Any, Meta(description="for the attempt after this one: any JSON of up to 4,096 bytes")
]
Result = Annotated[Any, Meta(description="any JSON, kept byte for byte")]
Error = Annotated[
    str, Meta(min_length=1, max_length=100_000, description="why; of a long text the beginning")
]
RetryIn = Annotated[
    float, Meta(ge=0, le=YEAR, description="try again in so many seconds, at most a year")
]
Exception_ = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z_][A-Za-z0-9_.:]{{0,99}}${END}",
        description=(
            "the class of what was raised, under which failures are found together: "
            "1 to 100 letters, digits and any of _ . :, no digit first"
        ),
        examples=["ImageError"],
    ),
]
Final = Annotated[bool, Meta(description="whether another attempt makes no sense")]
KeepResult = Annotated[
    float,
    Meta(
        ge=0,
        le=100 * YEAR,
        description="for how many seconds results are kept, up to a century; 0: as long as tasks",
    ),
]
Schema = Annotated[dict[str, Any], Meta(description="JSON Schema of the payload, up to 16 KiB")]


class Body(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Base of what may be sent: known members only."""


class NewType(Body, frozen=True):
    """A type of tasks that external workers do, and what a new task of it gets by itself."""

    name: Name
    queue: Name = "default"
    timeout_seconds: Timeout = 60.0
    max_attempts: Attempts = 5
    keep_result_seconds: KeepResult | UnsetType = UNSET
    payload_schema: Schema = {}


class NewTypes(Body, frozen=True):
    """The types that a worker does."""

    types: Annotated[
        list[NewType], Meta(min_length=1, max_length=TYPES_MOST, description="1 to 100 types")
    ]


class Wish(Body, frozen=True):
    """What a worker would take now."""

    types: Names
    worker: WorkerName = "worker"
    limit: Limit = 1
    lease_seconds: LeaseSeconds = LEASE
    wait: Wait = 0.0
    queues: Queues = []


class Renewal(Body, frozen=True):
    """The worker goes on: its lease is to last from now."""

    lease: Token
    lease_seconds: LeaseSeconds = LEASE
    wait: Hold = 0.0


class Report(Body, frozen=True):
    """How far the work is."""

    lease: Token
    fraction: Fraction
    text: Said = ""
    data: Data = None


class Completion(Body, frozen=True):
    """The work is done."""

    lease: Token
    result: Result = None


class Failure(Body, frozen=True):
    """The attempt has failed; it is tried again by the usual rule, unless something else is said.

    A task whose cancel was asked for ends as Cancelled.
    """

    lease: Token
    error: Error
    exception: Exception_ | None = None
    retry_in_seconds: RetryIn | None = None
    final: Final = False


class GivingBack(Body, frozen=True):
    """The work was not begun, or may begin anew: it costs no attempt."""

    lease: Token


class Handed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task in the hands of a worker, until `leaseUntil` unless it renews its lease."""

    id: TaskId
    lease: str
    lease_until: datetime
    fence: int
    task: TaskItem
    parents: tuple[Parent, ...] = ()
    """The tasks that it is after, with their results."""


class HandedList(msgspec.Struct, frozen=True):
    """The tasks that were claimed, the most urgent first."""

    items: list[Handed]


class LeaseState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A lease that goes on."""

    id: TaskId
    lease_until: datetime
    cancel_requested: bool


class Outcome(msgspec.Struct, frozen=True):
    """What has become of the task."""

    id: TaskId
    status: str


class KnownTypes(msgspec.Struct, frozen=True):
    """The names of the types that are registered now."""

    types: list[str]


class ResultOf(msgspec.Struct, frozen=True):
    """The bytes of a result as they came."""

    result: Raw = Raw(b"null")


async def read(body: bytes, shape: type[T]) -> T:
    """What a body says; raises Malformed, or Invalid with every member that breaks its rule."""
    return _read(body, shape) if len(body) < LARGE else await to_thread(_read, body, shape)


def _read(body: bytes, shape: type[T]) -> T:
    try:
        value = msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        raise Invalid(_broken(strictly(body), shape)) from None
    if not is_plain(body, value):
        strictly(body)
    return value


def _broken(value: Any, shape: type[Any]) -> list[FieldError]:
    if not isinstance(value, dict):
        raise Malformed("The body must be a JSON object.")
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    errors = [
        FieldError(f"/{name}", f"needed: {_rule(field.type)}")
        for name, field in fields.items()
        if field.required and name not in value
    ]
    for name, member in value.items():
        if name not in fields:
            known = ", ".join(fields)
            errors.append(FieldError("", f"only these members are known: {known}"))
        elif not fits(member, fields[name].type):
            errors.append(FieldError(f"/{name}", _rule(fields[name].type)))
    return errors or [FieldError("", "a member breaks a rule")]


def _rule(hint: Any) -> str:
    """The sentence beside a type; of one that may be missing, that of the type itself."""
    described = hint if hasattr(hint, "__metadata__") else get_args(hint)[0]
    return rule(described)
