"""What has become of writes: one result each, in their order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taskhub.bulk import Acted
from taskhub.keys import Existing, KeyReused, Replayed
from taskhub.model import Event, Lease, Status, TaskId, TaskItem
from taskhub.schedules.writes import ScheduleResult


class Created(msgspec.Struct, frozen=True, gc=False):
    """The task is on disk."""

    item: TaskItem


class NoParent(msgspec.Struct, frozen=True):
    """Nothing can be after these tasks, so nothing was stored: they do not exist.

    `are_full`: they do, and FOLLOWERS_MOST tasks wait for each already.
    """

    ids: Sequence[TaskId]
    are_full: bool = False


class CreatedMany(msgspec.Struct, frozen=True):
    """What has become of each of many new tasks, in their order."""

    results: Sequence[Created | Existing | NoParent | Refused]


class Claimed(msgspec.Struct, frozen=True):
    """The leases handed out, most urgent first.

    `is_bounded`: there are limits, so what waits may begin when something ends.
    """

    leases: Sequence[Lease]
    is_bounded: bool = False


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


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of each kind were deleted; of `results`, emptied."""

    tasks: int
    events: int
    audit: int
    keys: int
    unique_keys: int
    runs: int
    results: int


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
    | NoParent
    | Existing
    | Replayed
    | KeyReused
    | Claimed
    | Renewed
    | Finished
    | Stale
    | Touched
    | Pruned
    | Swept
    | Changed
    | Unchanged
    | Missing
    | Acted
    | ScheduleResult
    | Refused
)


class Followed(msgspec.Struct, frozen=True):
    """How many tasks wait for no other any more, and have ended with one that they were after."""

    let_go: int = 0
    failed: int = 0
    cancelled: int = 0

    def __bool__(self) -> bool:
        """Whether anything has followed."""
        return bool(self.let_go or self.failed or self.cancelled)

    def __add__(self, other: Followed) -> Followed:
        """Those of two parts of a transaction."""
        return Followed(
            self.let_go + other.let_go,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
        )


class Committed(msgspec.Struct, frozen=True):
    """One transaction's answers in the order of its writes, and the events it appended.

    `followed`: what has followed for tasks that are after others.
    """

    results: Sequence[Result]
    events: Sequence[Event]
    followed: Followed = Followed()
    retries: int = 0
    """How often the database gave it up in favour of others, and it was begun anew."""
