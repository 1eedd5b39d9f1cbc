"""The first seam: what a store must do, in words of the domain; no SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from taskhub.audit import Audit, AuditPage, AuditQuery
from taskhub.bulk import Acted, Bulk
from taskhub.failures import Cause, FailurePage, FailureQuery, PastAttempt
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.keys import Existing, IdempotencyKey, Kept, KeyReused, Replayed, UniqueKey
from taskhub.model import Event, Lease, Owner, PastEvent, Status, TaskId, TaskItem, TypeInfo
from taskhub.queues import Pause, Standings
from taskhub.registration import TypeAct, TypeReads

# ---- writes: each is one conditional change; `Store.commit` takes many at once -------------------


class Create(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Store a new Pending task. Result: Created | Existing | Replayed | KeyReused."""

    item: TaskItem
    trace_parent: str | None = None
    unique: UniqueKey | None = None
    key: IdempotencyKey | None = None


class CreateMany(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Store many new tasks under one key, or none. Result: CreatedMany | Replayed | KeyReused.

    Atomic: where one cannot be stored none is, and the whole is Refused. Else each stands for
    itself. `creates` have no keys of their own.
    """

    creates: Sequence[Create]
    is_atomic: bool
    key: IdempotencyKey | None = None


class Forward(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make the tasks that tell a webhook of the events up to `through`. Result: Touched | Stale.

    Guarded by its cursor: only where that is at `after` (None: the webhook has none yet). So many
    may try at the same time, and each event makes its tasks once.
    """

    webhook: str
    after: int | None
    through: int
    items: Sequence[TaskItem] = ()


class Claim(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Hand up to `limit` due tasks to `owner` for `lease` seconds. Result: Claimed.

    Most urgent first (priority, run_at, id). Attempts and fence grow by one here. `queues` empty
    means all. Suspects come only when `suspects` says so, then at most one, and nothing else does.
    """

    owner: Owner
    limit: int
    lease: float
    types: Sequence[str]
    queues: Sequence[str] = ()
    suspects: bool = False


class Renew(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Extend the leases held by (id, fence) to `lease` seconds from now. Result: Renewed."""

    held: Sequence[tuple[TaskId, int]]
    lease: float


class Finish(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Write the outcome of one attempt, guarded by the fence. Result: Finished | Stale.

    `status` is Done, Failed, Cancelled, or Pending (retry or snooze at `run_at`). A task whose
    cancel was requested ends as Cancelled where Pending or Failed is asked for. `refund` gives the
    attempt back. `suspect` is what the row's mark becomes. An attempt that failed (Failed, or
    Pending without a refund) is kept among the task's attempts, with its `cause`. `key` is kept
    with the outcome, its answer told from the Finished.
    """

    id: TaskId
    fence: int
    status: Status
    result: bytes | None = None
    error: str | None = None
    run_at: datetime | None = None
    refund: bool = False
    suspect: bool = False
    cause: Cause | None = None
    key: IdempotencyKey | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Keep a handler's progress (JSON), guarded by the fence. Result: Finished | Stale."""

    id: TaskId
    fence: int
    data: bytes


class Release(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Give claimed tasks back unharmed (Pending, attempts - 1), by fence. Result: Touched."""

    held: Sequence[tuple[TaskId, int]]


class Takeover(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A dead owner's leases are free at once. Result: Swept.

    `started` None: not known (no ledger), every task counts as started. Those not started go back
    with attempts - 1; those started become Suspect and go back, or end as Failed when attempts are
    used up, or as Cancelled when that was asked for. One that was Suspect already ran in a process
    of its own: it counts as started only when nothing else had started, for then who else was it?
    """

    owner: Owner
    started: Sequence[TaskId] | None = None


class Sweep(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Free expired leases. Result: Swept.

    Rows of `owner` (ourselves) only when not in `held` (the handler has ended, an answer was lost);
    rows of `living` owners only after four leases; all others as soon as they have expired.
    The answer also lists which of `owner`'s tasks have a cancel requested.
    """

    owner: Owner
    held: Sequence[TaskId]
    living: Sequence[Owner]
    lease: float


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Cancel a Pending task, flag a Processing one. Result: Changed | Unchanged | Missing."""

    id: TaskId


class Requeue(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An operator's retry: Failed or Cancelled -> Pending, attempts 0.

    Result: Changed | Unchanged | Missing.
    """

    id: TaskId


class Register(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make types known to all; an external worker never changes one of ours. Result: Touched."""

    types: Sequence[TypeInfo]


class Prune(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Delete up to `limit` rows of each kind that are older than these times. Result: Touched."""

    tasks_before: datetime
    events_before: datetime
    audit_before: datetime
    limit: int = 1000


Write = (
    Create
    | CreateMany
    | Forward
    | Claim
    | Renew
    | Finish
    | Progress
    | Release
    | Takeover
    | Sweep
    | Cancel
    | Requeue
    | Bulk
    | Pause
    | Audit
    | Register
    | TypeAct
    | Prune
)

# ---- results, one per write ----


class Created(msgspec.Struct, frozen=True, gc=False):
    """The task is on disk."""

    item: TaskItem


class CreatedMany(msgspec.Struct, frozen=True):
    """What has become of each of many new tasks, in their order."""

    results: Sequence[Created | Existing | Refused]


class Held(msgspec.Struct, frozen=True):
    """A task, its newest fence, and who holds it under that (None: nobody any more)."""

    item: TaskItem
    fence: int
    owner: Owner | None


class Claimed(msgspec.Struct, frozen=True):
    """The leases handed out, most urgent first."""

    leases: Sequence[Lease]


class Renewed(msgspec.Struct, frozen=True):
    """`lost`: the fence no longer holds; `cancel`: a cancel was requested."""

    lost: Sequence[TaskId] = ()
    cancel: Sequence[TaskId] = ()


class Finished(msgspec.Struct, frozen=True, gc=False):
    """The outcome is stored; `status` is what the row says now."""

    status: Status


class Stale(msgspec.Struct, frozen=True):
    """Somebody else holds the task or was first, or it has ended: nothing was changed."""


class Touched(msgspec.Struct, frozen=True):
    """How many rows were changed."""

    count: int


class Swept(msgspec.Struct, frozen=True):
    """What a sweep or a takeover has moved, and whose cancel is asked for."""

    requeued: Sequence[TaskId] = ()
    failed: Sequence[TaskId] = ()
    cancelled: Sequence[TaskId] = ()
    cancel: Sequence[TaskId] = ()


class Changed(msgspec.Struct, frozen=True):
    """The row was changed; `item` is how it is now."""

    item: TaskItem


class Unchanged(msgspec.Struct, frozen=True):
    """The row's state does not allow it; `item` is how it is."""

    item: TaskItem


class Missing(msgspec.Struct, frozen=True):
    """There is no such task."""


class Refused(msgspec.Struct, frozen=True):
    """This write alone cannot be stored (a poisonous row); its neighbours were."""

    reason: str


Result = (
    Created
    | CreatedMany
    | Existing
    | Replayed
    | KeyReused
    | Claimed
    | Renewed
    | Finished
    | Stale
    | Touched
    | Swept
    | Changed
    | Unchanged
    | Missing
    | Acted
    | Refused
)


class Committed(msgspec.Struct, frozen=True):
    """One transaction's answers in the order of its writes, and the events it appended."""

    results: Sequence[Result]
    events: Sequence[Event]


# ---- reads ----


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `limit` events whose Seq is greater than `after`: of one task, or all."""

    after: int = 0
    limit: int = 500
    task: TaskId | None = None


class EventPage(msgspec.Struct, frozen=True):
    """Events in their order, and the first and last Seq of the table at that moment (0: empty).

    Seqs grow by one from event to event; only pruning takes some away, the oldest first.
    """

    items: Sequence[PastEvent]
    oldest: int
    newest: int


class QueueCount(msgspec.Struct, frozen=True):
    """How many tasks of a queue are in a state; `oldest`: age in seconds of the one due longest."""

    queue: str
    status: Status
    count: int
    oldest: float = 0.0


class SchemaState(msgspec.Struct, frozen=True):
    """Revision found (None: empty database), the newest of this version, what is missing."""

    found: str | None
    newest: str
    missing: Sequence[str]


# ---- the port ----


class Store(Standings, TypeReads, Protocol):
    """Where tasks live. Raises `Trouble` while the database is not well; never loses a commit."""

    async def open(self) -> None:
        """Connect; raises SchemaNewer | SchemaOlder when the schema does not fit."""

    async def close(self) -> None:
        """Give every connection and thread back; may be called twice."""

    async def commit(self, writes: Sequence[Write]) -> Committed:
        """All in one durable transaction; a write that cannot be stored is `Refused` alone."""

    def renew(self, write: Renew) -> Renewed:
        """As `commit` of one Renew, blocking and thread-safe: for the thread that renews."""

    async def get(self, ids: Sequence[TaskId]) -> list[TaskItem]:
        """The tasks that exist, in the order asked."""

    async def attempts(self, id_: TaskId) -> list[PastAttempt]:
        """What attempts of the task have failed of, oldest first; of its last 50 starts."""

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Failed tasks in groups of those that are alike."""

    async def held(self, id_: TaskId) -> Held | None:
        """The task and its lease; None: there is no such task."""

    async def kept(self, principal: str, key: str) -> Kept | None:
        """What is kept under this key of this principal; None where nothing is, or no longer."""

    async def find(self, query: TaskQuery) -> Page:
        """One page, by keyset: as fast on the last page as on the first."""

    async def find_ids(self, query: TaskQuery) -> IdPage:
        """The same without reading the tasks themselves."""

    async def count(self, query: TaskQuery) -> Count:
        """How many match; the query's limit says nothing here."""

    async def events(self, query: EventQuery) -> EventPage:
        """What has happened after a Seq, oldest first; all of the answer is of one moment."""

    async def forwarded(self) -> dict[str, int]:
        """The cursor of every webhook that ever had one, by its name."""

    async def audit(self, query: AuditQuery) -> AuditPage:
        """One page of the audit log, by keyset."""

    async def counts(self) -> list[QueueCount]:
        """Depths of the live states (Pending, Processing) by queue."""

    async def owners(self) -> list[Owner]:
        """Who holds leases now."""

    async def next_due(self) -> float | None:
        """Seconds until the next Pending task is due (0: one is due now; None: none waits)."""

    async def schema(self) -> SchemaState:
        """Where the schema stands; works on an empty database too."""

    async def migrate(self) -> list[str]:
        """Bring the schema to the newest revision, one migrator at a time; the steps taken."""
