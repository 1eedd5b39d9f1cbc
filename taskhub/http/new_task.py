"""The body of `POST /tasks`: its members, their rules, and what is said when they are broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from taskhub.backoff import Backoff
from taskhub.errors import FieldError, Invalid
from taskhub.http import unique
from taskhub.http.catalog import KnownType
from taskhub.http.members import broken, given, rule
from taskhub.http.queries import GROUP_KEY, ID
from taskhub.http.strict_json import is_plain, strictly
from taskhub.keys import UniqueKey
from taskhub.model import (
    AFTER_MOST,
    NAME_PATTERN,
    TITLE_LIMIT,
    OnParentFailure,
    Status,
    TaskId,
    TaskItem,
    Unique,
)

YEAR = 366 * 86_400
EMPTY = Raw(b"{}")

END = r"(?!\n)"
"""After a `$`: in Python that also matches before a last line feed, elsewhere it does not."""

Title = Annotated[
    str,
    Meta(
        pattern=rf"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]{{1,{TITLE_LIMIT}}}${END}",
        min_length=1,
        max_length=TITLE_LIMIT,
        description=f"1 to {TITLE_LIMIT} characters, not only spaces, no control characters",
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=NAME_PATTERN + END,
        description="1 to 100 letters, digits and any of _ . : - ; the first a letter or digit",
    ),
]
GroupKey = Annotated[
    str,
    Meta(
        pattern=f"^{GROUP_KEY.pattern}${END}",
        min_length=1,
        max_length=100,
        description="1 to 100 characters, no control characters",
    ),
]
Priority = Annotated[int, Meta(ge=-100, le=100, description="-100 to 100, the greater the sooner")]
Moment = Annotated[
    datetime, Meta(tz=True, description="a time with its offset, such as 2030-01-31T08:00:00Z")
]
Delay = Annotated[
    float, Meta(ge=0, le=10 * YEAR, description="seconds from now, at most ten years")
]
Attempts = Annotated[int, Meta(ge=1, le=100, description="1 to 100 starts")]
Timeout = Annotated[float, Meta(ge=0.1, le=86_400, description="0.1 to 86400 seconds")]

Pauses = Annotated[
    Backoff,
    Meta(
        description="base and cap of 0 to 31622400 seconds, factor of 1 to 1000, jitter of 0 to 1"
    ),
]

Policy = Annotated[
    OnParentFailure,
    Meta(description="fail: it ends as one that it is after does; continue: it runs all the same"),
]
Id = Annotated[str, Meta(pattern=f"^{ID.pattern}${END}", description="the id of a task")]
Reference = Annotated[
    str,
    Meta(
        pattern=NAME_PATTERN + END,
        description="the name of a task before it in the batch, or the id of any task",
    ),
]
Place = Annotated[int, Meta(ge=0, description="the place of a task before it in the batch, from 0")]
IDS = Meta(max_length=AFTER_MOST, description=f"up to {AFTER_MOST} ids of tasks")
SOME = Meta(
    max_length=AFTER_MOST,
    description=f"up to {AFTER_MOST} tasks before it in the batch, by name or place, or ids",
)
THEN_MOST = 100
CHAIN = Meta(max_length=THEN_MOST, description=f"up to {THEN_MOST} new tasks, one after the other")


class Step(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """A task of a chain: it is after the one before it. Other new tasks say this and more."""

    title: Title
    type: Name = "simulate"
    queue: Name | UnsetType = UNSET
    """Default: the queue of the type."""
    group_key: GroupKey | UnsetType = UNSET
    """Tasks of the same key share their queue's limits for keys; keys take turns."""
    priority: Priority = 0
    payload: Any = UNSET
    """Any JSON; kept byte for byte. Default: {}."""
    run_at: Moment | UnsetType = UNSET
    """Not before this time. Default: now."""
    delay_seconds: Delay | UnsetType = UNSET
    """Not before so many seconds from now; not together with runAt."""
    max_attempts: Attempts | UnsetType = UNSET
    """Default: what the handler of the type says."""
    backoff: Pauses | UnsetType = UNSET
    """How long to wait between attempts. Default: what the handler of the type says."""
    timeout_seconds: Timeout | UnsetType = UNSET
    """Of one attempt. Default: what the handler of the type says."""
    unique: Unique | UnsetType | None = UNSET
    """Default: what the handler of the type says; null: it is not."""
    on_parent_failure: Policy = "fail"
    """What becomes of it when a task that it is after fails or is cancelled."""


class NewTask(Step, frozen=True, kw_only=True):
    """What a client may say of a task that it wants done."""

    after: Annotated[list[Id], IDS] = []
    """It is handed out once these tasks have ended."""
    then: Annotated[list[Step], CHAIN] = []
    """Tasks to make in the same transaction: the first is after this one, each after the last."""


class BatchTask(Step, frozen=True, kw_only=True):
    """One of many new tasks."""

    name: Name | UnsetType = UNSET
    """What others of the batch call it."""
    after: Annotated[list[Reference | Place], SOME] = []
    """It is handed out once these have ended: tasks before it in the batch, or others."""


STEP_RULES: Mapping[str, Any] = {
    "title": Title,
    "type": Name,
    "queue": Name,
    "groupKey": GroupKey,
    "priority": Priority,
    "payload": Any,
    "runAt": Moment,
    "delaySeconds": Delay,
    "maxAttempts": Attempts,
    "backoff": Pauses,
    "timeoutSeconds": Timeout,
    "unique": unique.Asked,
    "onParentFailure": Policy,
}
RULES: Mapping[type[Step], Mapping[str, Any]] = {
    Step: STEP_RULES,
    NewTask: {
        **STEP_RULES,
        "after": Annotated[list[Id], IDS],
        "then": Annotated[list[Step], CHAIN],
    },
    BatchTask: {
        **STEP_RULES,
        "name": Name,
        "after": Annotated[list[Reference | Place], SOME],
    },
}
BOTH = "runAt or delaySeconds, not both"

_decoders = {shape: msgspec.json.Decoder(shape).decode for shape in (Step, NewTask, BatchTask)}


class _Payload(msgspec.Struct):
    payload: Raw


class _Then(msgspec.Struct):
    then: list[Raw]


_decode_then = msgspec.json.Decoder(_Then).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode


class Draft(msgspec.Struct, frozen=True):
    """A valid wish for a task; `payload` is the bytes that the client has sent for it."""

    new: Step
    payload: Raw
    then: tuple[Draft, ...] = ()

    @property
    def after(self) -> Sequence[str | int]:
        """What it is after, as it was said."""
        return self.new.after if isinstance(self.new, NewTask | BatchTask) else ()


class Birth(msgspec.Struct, frozen=True):
    """What the API itself says of a new task."""

    id: str
    creator: str
    at: datetime


def read(body: bytes, shape: type[Step] = NewTask) -> Draft:
    """The task that a body asks for; raises Malformed, or Invalid with every broken rule."""
    try:
        new = _decoders[shape](body)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        raise _explained(body, shape) from None
    if not is_plain(body, new):
        strictly(body)
    if new.run_at is not UNSET and new.delay_seconds is not UNSET:
        raise Invalid([FieldError("/delaySeconds", BOTH)])
    if isinstance(new.unique, Unique):
        unique.refuse_nonsense(new.unique)
    payload = EMPTY if new.payload is UNSET else _decode_payload(body).payload
    return Draft(new, payload, _steps(body) if isinstance(new, NewTask) and new.then else ())


def _steps(body: bytes) -> tuple[Draft, ...]:
    """The tasks that follow, each from the bytes that the client has sent for it."""
    return tuple(_step(place, bytes(text)) for place, text in enumerate(_decode_then(body).then))


def _step(place: int, text: bytes) -> Draft:
    try:
        return read(text, Step)
    except Invalid as error:
        raise moved(error, f"/then/{place}") from None


def moved(error: Invalid, base: str) -> Invalid:
    """The same with pointers into the whole of which the body is a part."""
    return Invalid([FieldError(f"{base}{e.pointer}", e.detail) for e in error.errors])


def item(draft: Draft, known: KnownType, birth: Birth, after: Sequence[TaskId] = ()) -> TaskItem:
    """The task as it will be stored; raises Invalid where the payload breaks its type's rules."""
    new = draft.new
    known.check(given(new.payload, {}))
    return TaskItem(
        id=TaskId(birth.id),
        title=new.title,
        type=new.type,
        queue=given(new.queue, known.defaults.queue),
        group_key=given(new.group_key, None),
        priority=new.priority,
        status=Status.PENDING,
        payload=draft.payload,
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=given(new.max_attempts, known.defaults.max_attempts),
        backoff=given(new.backoff, None),
        timeout_seconds=given(new.timeout_seconds, known.defaults.timeout_seconds),
        cancel_requested=False,
        created_at=birth.at,
        updated_at=birth.at,
        run_at=_due(new, birth.at),
        started_at=None,
        finished_at=None,
        created_by=birth.creator,
        after=tuple(dict.fromkeys(after)),
        on_parent_failure=new.on_parent_failure if after else None,
    )


def unique_key(draft: Draft, known: KnownType, at: datetime) -> UniqueKey | None:
    """The key that the task is to hold, if any; raises Invalid."""
    new = draft.new
    if new.unique is UNSET and known.defaults.unique is UNSET:
        return None
    payload: Any = given(new.payload, {})
    return unique.wanted(new.unique, known.defaults.unique, payload, at)


def unknown_type() -> Invalid:
    """What is said of a type that no worker has registered."""
    return Invalid(
        [FieldError("/type", "no worker has registered a type of this name: GET /types")]
    )


def _due(new: Step, now: datetime) -> datetime:
    if new.run_at is not UNSET:
        return _utc(new.run_at)
    if new.delay_seconds is not UNSET:
        return now + timedelta(seconds=new.delay_seconds)
    return now


def _utc(moment: datetime) -> datetime:
    """The same time in UTC; raises Invalid outside the years 1 to 9999."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid([FieldError("/runAt", rule(Moment))]) from None


def _explained(body: bytes, shape: type[Step]) -> Invalid:
    """Why a body is no new task, with every rule that it breaks."""
    value = strictly(body)
    return Invalid(_broken(value, shape) or [FieldError("", "a member breaks a rule")])


def _broken(value: Any, shape: type[Step]) -> list[FieldError]:
    """Every rule that the members break, in the order of the body."""
    errors = broken(value, RULES[shape])
    if "title" not in value:
        errors.insert(0, FieldError("/title", f"needed: {rule(Title)}"))
    if "runAt" in value and "delaySeconds" in value:
        errors.append(FieldError("/delaySeconds", BOTH))
    if isinstance(parts := value.get("unique"), dict) and (wrong := unique.parts_broken(parts)):
        errors = [error for error in errors if error.pointer != "/unique"] + wrong
    steps = value.get("then") if shape is NewTask else None
    if isinstance(steps, list) and (wrong := _broken_steps(steps)):
        errors = [error for error in errors if error.pointer != "/then"] + wrong
    return errors


def _broken_steps(steps: list[Any]) -> list[FieldError]:
    """Every rule that the tasks of a chain break."""
    return [
        FieldError(f"/then/{place}{error.pointer}", error.detail)
        for place, step in enumerate(steps[:THEN_MOST])
        if isinstance(step, dict)
        for error in _broken(step, Step)
    ]
