"""What a store is told to do: each is one conditional change; `commit` takes many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from taskhub.audit import Audit
from taskhub.bulk import Bulk
from taskhub.failures import Cause
from taskhub.keys import IdempotencyKey, UniqueKey
from taskhub.model import Owner, Status, TaskId, TaskItem, TypeInfo
from taskhub.queues import Pause, QueueLimit
from taskhub.registration import TypeAct
from taskhub.schedules.writes import ScheduleWrite


class Create(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Store a new Pending task. Result: Created | Existing | NoParent | Replayed | KeyReused.

    It is held back until those of `item.after` have ended. One of them that is made in the same
    commit stands before it; where that one is Existing, it is after the one that there is.
    """

    item: TaskItem
    trace_parent: str | None = None
    unique: UniqueKey | None = None
    key: IdempotencyKey | None = None


class CreateMany(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Store many new tasks under one key, or none.

    Result: CreatedMany | NoParent | Replayed | KeyReused. Atomic: where one cannot be stored none
    is, and the whole is Refused, or NoParent. Else each stands for itself. `creates` have no keys
    of their own.
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

    Tasks with a key come turn by turn: of those of one priority one of each key of a queue, from
    the key after the last one on, then another one of each; beside those without a key by what is
    due first. No limit of `limits` is broken, whoever has claimed the tasks that run.
    """

    owner: Owner
    limit: int
    lease: float
    types: Sequence[str]
    queues: Sequence[str] = ()
    suspects: bool = False
    limits: Sequence[QueueLimit] = ()


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
    with the outcome, its answer told from the Finished. From `result_until` on the result is
    emptied by a Prune (None: it stays as long as the task).
    """

    id: TaskId
    fence: int
    status: Status
    result: bytes | None = None
    result_until: datetime | None = None
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

    It waits again for tasks that it is after and that live; what has become of others is forgiven.

    Result: Changed | Unchanged | Missing.
    """

    id: TaskId


class Register(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Make types known to all; an external worker never changes one of ours. Result: Touched."""

    types: Sequence[TypeInfo]


class Prune(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Delete up to `limit` rows of each kind that are older than these times. Result: Pruned.

    Results whose time is over are emptied, their tasks stay. A task stays, with its result, while
    another that is after it lives: that one may ask for it.
    """

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
    | ScheduleWrite
    | Prune
)
