"""Why attempts fail, in values: causes, fingerprints, what a task has been through; no SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import msgspec

from taskhub.model import Status, TaskId, TaskItem

KEPT = 50
"""Of so many starts of a task what failed is kept, the newest ones."""
COUNTED = 10_000
"""Tasks of one group that are counted; past it the answer says that there are more."""
LOOKED = 10_000
"""Groups that are looked at for one page."""
SAMPLES = 3

EXCEPTION_LIMIT, PLACE_LIMIT, TRACE_LIMIT = 100, 200, 4_000
"""Characters that are kept."""

TIMED_OUT = "TimeoutError"
WORKER_DIED, PROCESS_DIED, LEASE_EXPIRED = "WorkerDied", "ProcessDied", "LeaseExpired"
PARENT_FAILED = "ParentFailed"
"""What stands for an exception where none was raised."""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt has failed, beside its error; made by `cause_of`."""

    fingerprint: str
    exception: str
    place: str = ""
    trace: str = ""


def cause_of(kind: str, exception: str, place: str = "", trace: str = "") -> Cause:
    """The cause of a failure of a task of this type, with the fingerprint of its like."""
    exception, place = exception[:EXCEPTION_LIMIT], place[:PLACE_LIMIT]
    return Cause(fingerprint(kind, exception, place), exception, place, trace[:TRACE_LIMIT])


def fingerprint(kind: str, exception: str, place: str) -> str:
    """The same for every failure of a type by the same exception in the same place."""
    text = f"{kind}\n{exception}\n{place}"
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


class AttemptEnd(StrEnum):
    """How an attempt stands."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One start of a task: when and where, and how it ended.

    `attempt` is 1 for the first, and again for the first after an operator's retry. `exception`
    and `place` say what was raised where; `fingerprint` is the same for all failures like this.
    Of several alike only the newest has a `trace`.
    """

    attempt: int
    end: AttemptEnd
    started_at: datetime | None
    ended_at: datetime | None
    worker: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    exception: str | None = None
    place: str | None = None
    trace: str | None = None


def worker_of(owner: str) -> str:
    """The name of a worker, out of who has held a lease."""
    _, slash, rest = owner.partition("/")
    return rest.partition("/")[0] if slash else owner


_LATEST = {
    Status.PROCESSING: AttemptEnd.RUNNING,
    Status.DONE: AttemptEnd.DONE,
    Status.CANCELLED: AttemptEnd.CANCELLED,
}


def with_latest(failed: Sequence[PastAttempt], item: TaskItem) -> list[PastAttempt]:
    """What has failed, and the attempt that the task itself tells of, where that did not fail."""
    end = _LATEST.get(item.status)
    if end is None or item.started_at is None or not item.attempts:
        return list(failed)
    latest = PastAttempt(
        attempt=item.attempts, end=end, started_at=item.started_at, ended_at=item.finished_at
    )
    is_told = bool(failed) and failed[-1].started_at == item.started_at
    return list(failed) if is_told else [*failed, latest]


class FailureQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of failed tasks, those that failed last first; `cursor`: the `next` of a page."""

    type: str | None = None
    since: datetime | None = None
    """Only those whose newest failure is not older."""
    cursor: tuple[int, str, str] | None = None
    limit: int = 50


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Failed tasks that are alike: of one type, by one exception, in one place.

    `fingerprint` is null for tasks that failed without one. `error` is that of the newest,
    `samples` are the newest ids. At most 10,000 are counted; `more`: there are others.
    """

    fingerprint: str | None
    type: str
    exception: str | None
    place: str | None
    error: str | None
    count: int
    more: bool
    first_seen: datetime
    last_seen: datetime
    samples: Sequence[TaskId]


class FailurePage(msgspec.Struct, frozen=True):
    """Groups, and where the next page begins (None: this was the last)."""

    items: Sequence[FailureGroup]
    next: tuple[int, str, str] | None
