"""What a task is: its fields, its states and the legal moves between them; no store, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType

import msgspec
from msgspec import UNSET, Meta, UnsetType

from taskhub.backoff import Backoff

TaskId = NewType("TaskId", str)
"""A UUIDv7 in its 36 character text form: sorts by the time of creation."""

Owner = NewType("Owner", str)
"""Text form of an incarnation (see `Incarnation`): who holds a lease."""

TITLE_LIMIT = 200
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$"
"""What the names of types, queues and actors look like."""


class Status(StrEnum):
    """The five states of a task."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether only an explicit retry by an operator leaves this state."""
        return self in FINAL


FINAL = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.PROCESSING, Status.CANCELLED, Status.FAILED}),
    Status.PROCESSING: frozenset({Status.DONE, Status.FAILED, Status.CANCELLED, Status.PENDING}),
    Status.DONE: frozenset(),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
}
"""Every legal move; each is one conditional UPDATE in a store.

Pending becomes Failed without an attempt only where a task that it is after has failed.
"""

OnParentFailure = Literal["fail", "continue"]
"""What becomes of a task when one that it is after fails or is cancelled: the same, or it runs."""

AFTER_MOST = 100
"""How many tasks one task can be after."""
FOLLOWERS_MOST = 10_000
"""How many tasks can wait for one: so much at most is decided in the transaction of its end."""


class TaskItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A task as clients, handlers and the console see it; all times are UTC."""

    id: TaskId
    title: str
    type: str
    queue: str
    group_key: str | None = None
    """Tasks with the same key share the limits of their queue for keys; keys take turns."""
    priority: int
    status: Status
    payload: msgspec.Raw
    result: msgspec.Raw | None
    result_expires_at: datetime | None = None
    """When the result is emptied, or has been; None: it stays as long as its task."""
    error: str | None
    fingerprint: str | None = None
    """The same for all failures of a type by the same exception in the same place."""
    progress: msgspec.Raw | None
    attempts: int
    max_attempts: int
    backoff: Backoff | None = None
    """How long to wait between attempts, where the task's creator has said so."""
    timeout_seconds: float
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str
    after: tuple[TaskId, ...] = ()
    """It is handed out once these have ended."""
    on_parent_failure: OnParentFailure | None = None
    """What becomes of it when one of them fails; None where it is after none."""


class Parent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A task that another is after, as that one may see it; `status` None: it was deleted since.

    Of its result up to 64 KiB are handed on, and up to 1 MiB in equal shares of those of all
    parents of a task; a larger one is left out, which `result_left_out` tells.
    """

    id: TaskId
    status: Status | None
    error: str | None = None
    result: msgspec.Raw | None = None
    result_left_out: bool = False


class Child(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A task that is after another, in short."""

    id: TaskId
    title: str
    type: str
    queue: str
    status: Status
    error: str | None
    created_at: datetime
    created_by: str


RESULT_SHARED, RESULTS_SHARED = 65_536, 1_048_576
"""Bytes of the result of one parent, and of all parents of a task, that are handed on."""


class Lease(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A claimed task with the fence that its outcome must carry."""

    item: TaskItem
    fence: int
    suspect: bool = False
    trace_parent: str | None = None
    parents: tuple[Parent, ...] = ()


def trace_id_of(trace_parent: str | None) -> str:
    """The trace that a W3C trace context belongs to; empty without one."""
    return "" if trace_parent is None else trace_parent[3:35]


class Incarnation(msgspec.Struct, frozen=True):
    """One life of one process: `host` is the kernel's boot id, so a reboot is another host."""

    host: str
    unit: str
    nonce: str

    @property
    def owner(self) -> Owner:
        """The text kept in `Tasks.LeaseOwner`."""
        return Owner(f"{self.host}/{self.unit}/{self.nonce}")

    @classmethod
    def parse(cls, owner: Owner) -> Incarnation:
        """Read the text form back; raises ValueError when it is not one."""
        host, unit, nonce = owner.split("/")
        return cls(host, unit, nonce)


class EventType(StrEnum):
    """What can happen to a task, as told to the outside."""

    CREATED = "TaskCreated"
    STARTED = "TaskStarted"
    PROGRESS = "TaskProgress"
    DONE = "TaskDone"
    RETRYING = "TaskRetrying"
    FAILED = "TaskFailed"
    CANCELLED = "TaskCancelled"


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing that happened to a task: a row of `Events` and a message on the channel."""

    type: EventType
    id: TaskId
    title: str
    at: datetime
    traceparent: str | None = None
    """Whose trace (W3C) goes on with it; told when a task is new."""


class PastEvent(msgspec.Struct, frozen=True, gc=False):
    """A row of `Events`: what happened, in which order, what was said with it.

    `title`, `kind` (the task's type) and `queue` are the task's, None when it was deleted since.
    """

    seq: int
    type: EventType
    id: TaskId
    at: datetime
    title: str | None = None
    kind: str | None = None
    queue: str | None = None
    data: str | None = None
    """JSON: a TaskProgress holds what the handler said, others an `error` and a `fingerprint`."""


UNIQUE_LIMIT = 200
BY_LIMIT = 20
HOLDING = (Status.PENDING, Status.PROCESSING)

UniqueText = Annotated[
    str,
    Meta(
        pattern=rf"^[^\x00-\x1f\x7f-\x9f]{{1,{UNIQUE_LIMIT}}}$(?!\n)",
        min_length=1,
        max_length=UNIQUE_LIMIT,
        description=f"1 to {UNIQUE_LIMIT} characters, no control characters",
    ),
]
UniqueBy = Annotated[
    tuple[UniqueText, ...],
    Meta(min_length=1, max_length=BY_LIMIT, description=f"1 to {BY_LIMIT} members of the payload"),
]
UniqueSeconds = Annotated[
    float, Meta(gt=0, le=10 * 366 * 86_400, description="more than 0 seconds, at most ten years")
]
UniqueStates = Annotated[
    tuple[Status, ...],
    Meta(
        min_length=1,
        max_length=len(Status),
        description=f"some of {', '.join(Status)}; Pending is one of them",
    ),
]


class Unique(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Which tasks of a type are the same one: while one holds the key, another is not made.

    The key is `key`, or made of the payload's members `by`, or of the whole payload where neither
    is said. It is held while the task is in one of `states`, and for `seconds` at most.
    """

    key: UniqueText | UnsetType = UNSET
    by: UniqueBy | UnsetType = UNSET
    seconds: UniqueSeconds | UnsetType = UNSET
    """From the task's creation on; where nothing is said, the states alone count."""
    states: UniqueStates = HOLDING


class TypeDefaults(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a new task of a type gets where its creator says nothing."""

    queue: str = "default"
    timeout_seconds: float = 60.0
    max_attempts: int = 5
    unique: Unique | UnsetType = UNSET
    keep_result_seconds: float | UnsetType = UNSET
    """How long results are kept; where nothing is said, as the configuration has it."""


EXTERNAL = "ext:"
"""How `registered_by` begins where an external worker has registered a type."""

DEFAULTS_KEY = "x-taskhub"
"""The member of a type's JSON Schema that holds its TypeDefaults; validators ignore it."""


class TypeInfo(msgspec.Struct, frozen=True):
    """A kind of task that some worker knows; `schema` is the JSON Schema of its payload."""

    name: str
    schema: dict[str, Any] = msgspec.field(default_factory=dict)
    registered_by: str = ""

    @property
    def is_external(self) -> bool:
        """Whether workers do it that claim over HTTP, and none of TaskHub's own."""
        return self.registered_by.startswith(EXTERNAL)

    @property
    def defaults(self) -> TypeDefaults:
        """The type's own defaults, kept in its schema; the general ones where it names none."""
        return msgspec.convert(self.schema.get(DEFAULTS_KEY, {}), TypeDefaults)


class Done(msgspec.Struct, frozen=True):
    """The handler has succeeded; `result` is kept on the task."""

    result: Any = None


class Retry(Exception):
    """Try again, at the cost of this attempt, `in_seconds` from now (None: by the retry policy)."""

    def __init__(self, reason: str = "", *, in_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.in_seconds = reason, in_seconds


class Snooze(Exception):
    """Not now: come back in `in_seconds`; costs no attempt."""

    def __init__(self, in_seconds: float, reason: str = "") -> None:
        super().__init__(reason)
        self.in_seconds, self.reason = in_seconds, reason


class Cancel(Exception):
    """There is nothing to do: end as Cancelled."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Fail(Exception):
    """It will never work: end as Failed at once, whatever attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


Outcome = Done | Retry | Snooze | Cancel | Fail
"""Everything that one attempt can end in; a match over it ends with `assert_never`."""


_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_EXACT_AS_FLOAT = 2**52  # until the year 2112: quicker than adding to the epoch


def utc_from_micros(micros: int) -> datetime:
    """The UTC time of a number of microseconds since 1970."""
    if 0 <= micros < _EXACT_AS_FLOAT:
        return datetime.fromtimestamp(micros / 1_000_000, UTC)
    return _EPOCH + timedelta(microseconds=micros)


def micros_from_utc(moment: datetime) -> int:
    """Whole microseconds since 1970 of an aware time, exactly."""
    return (moment - _EPOCH) // _MICROSECOND
