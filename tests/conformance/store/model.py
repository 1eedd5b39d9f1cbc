"""What a store must do, said once more without any database: the reference of this suite.

One method for each kind of write: it changes `rows` as the port's docstrings say, notes the events
and returns the result. It is written to be read, not to be fast, and shares no code with any store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from taskhub import ports as p
from taskhub.audit import Audit
from taskhub.bulk import ALLOWED, Act, Acted, Bulk
from taskhub.failures import AttemptEnd, Cause, PastAttempt, cause_of, worker_of
from taskhub.keys import Existing, IdempotencyKey, KeyReused, Replayed, Told, UniqueKey
from taskhub.model import (
    EventType,
    Lease,
    Owner,
    Parent,
    Status,
    TaskId,
    TaskItem,
    micros_from_utc,
)
from taskhub.queues import Circumstances, Line, Pause

from tests.conformance.store.turns import Start, offered, room, room_of_key

PENDING, PROCESSING = Status.PENDING, Status.PROCESSING
DONE, FAILED, CANCELLED = Status.DONE, Status.FAILED, Status.CANCELLED

ENDS = {
    PENDING: EventType.RETRYING,
    DONE: EventType.DONE,
    FAILED: EventType.FAILED,
    CANCELLED: EventType.CANCELLED,
}

ORDER: tuple[type[Any], ...] = (
    *(p.Register, p.Create, p.CreateMany, p.Forward, p.Finish, p.Progress, p.Renew, p.Release),
    *(p.Takeover, p.Sweep, p.Cancel, p.Requeue, Bulk, Pause, p.Claim, Audit, p.Prune),
)
"""The kinds of write in the order in which one commit does them."""


@dataclass
class Row:
    """A task and what clients do not see of it."""

    item: TaskItem
    trace_parent: str | None = None
    fence: int = 0
    owner: Owner | None = None
    until: float = 0.0
    suspect: bool = False
    failed: list[PastAttempt] = field(default_factory=list)
    held: bool = False
    """Whether it is kept back for those that it is after."""
    parents: dict[TaskId, Status | None] = field(default_factory=dict)
    """How those have ended that it is after; forgotten where it does not matter any more."""

    def change(self, **fields: object) -> None:
        """Set fields of the task."""
        self.item = msgspec.structs.replace(self.item, **fields)

    def holds(self, fence: int) -> bool:
        """Whether an attempt with this fence still counts."""
        return self.item.status is PROCESSING and self.fence == fence


@dataclass
class Kept:
    """What is remembered of a request that came under a key."""

    request_hash: str
    answer: Told
    expires_at: datetime


@dataclass
class Hold:
    """Who holds a unique key, in which states, until when."""

    task: TaskId
    key: UniqueKey


@dataclass
class Model:
    """All rows, and the two clocks; `boot` is the host part of the owners that live now."""

    now: datetime
    boottime: float = 1_000.0
    is_of_one_host: bool = True
    rows: dict[TaskId, Row] = field(default_factory=dict)
    keys: dict[tuple[str, str], Kept] = field(default_factory=dict)
    paused: set[tuple[Line, str]] = field(default_factory=set)
    audit: list[str] = field(default_factory=list)
    turns: dict[str, str] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    types: dict[str, datetime] = field(default_factory=dict)
    """The types that are registered, and when they were last seen."""
    holds: dict[tuple[str, str], Hold] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    events: list[tuple[EventType, TaskId]] = field(default_factory=list)
    ended: list[tuple[TaskId, Status]] = field(default_factory=list)
    """Tasks of which it is still to be decided what follows from their end."""
    begun: list[Row] = field(default_factory=list)
    """Tasks that begin anew, and may have to wait again."""
    moved: dict[TaskId, TaskId] = field(default_factory=dict)
    """Which task there was, of those that were asked for in this commit or batch."""

    def order(self) -> Sequence[type[Any]]:
        """The kinds of write that are known here, in the order in which one commit does them."""
        return ORDER

    def commit(self, writes: Sequence[p.Write]) -> list[p.Result]:
        """The results in the order of the writes; `events` are those of this commit."""
        self.events, self.moved = [], {}
        kinds = self.order()
        order = sorted(range(len(writes)), key=lambda place: kinds.index(type(writes[place])))
        results: dict[int, p.Result] = {}
        for place, then in zip(order, [*order, None][1:], strict=True):
            results[place] = self._do(writes[place])
            if then is None or type(writes[then]) is not type(writes[place]):
                self._settle()
        return [results[place] for place in range(len(writes))]

    def _do(self, write: p.Write) -> p.Result:
        result: p.Result = getattr(self, f"_{type(write).__name__.lower()}")(write)
        return result

    def _tell(self, kind: EventType, row: Row) -> None:
        self.events.append((kind, row.item.id))
        if kind in (EventType.DONE, EventType.FAILED, EventType.CANCELLED):
            self.ended.append((row.item.id, row.item.status))

    # ---- tasks after others ------------------------------------------------------------------

    def _hold(self, row: Row) -> None:
        row.held = bool(row.item.after)
        row.parents = dict.fromkeys(row.item.after)
        now = [(task, self.rows[task].item.status) for task in row.parents]
        self.ended += [(task, status) for task, status in now if status.is_final]

    def _settle(self) -> None:
        """What follows from ends, after all writes of a kind; and from what ends by that."""
        begun, self.begun = self.begun, []
        for row in begun:
            self._hold_again(row)
        while self.ended:
            ended, self.ended = dict(self.ended), []
            for row in list(self.rows.values()):
                open_ = [task for task, status in row.parents.items() if status is None]
                if now := [task for task in open_ if task in ended]:
                    row.parents |= {task: ended[task] for task in now}
                    self._follow(row)

    def _follow(self, row: Row) -> None:
        if row.item.status is not PENDING or not row.held:
            return
        strict = row.item.on_parent_failure != "continue"
        for status, words in ((FAILED, "has failed"), (CANCELLED, "was cancelled")):
            bad = sorted(task for task, how in row.parents.items() if how is status)
            if bad and strict:
                row.held = False
                error = f"a task that it is after {words}: {bad[0]}"
                mark = cause_of(row.item.type, "ParentFailed").fingerprint
                keep = row.item.fingerprint
                self._end(row, status, error=error, fingerprint=mark if status is FAILED else keep)
                return
        if None not in row.parents.values():
            row.held = False
            row.change(run_at=max(row.item.run_at, self.now), updated_at=self.now)

    def _hold_again(self, row: Row) -> None:
        """It begins anew: what lives is waited for, what has become of others is forgiven."""
        for task, how in list(row.parents.items()):
            parent = self.rows.get(task)
            if how is not DONE:
                lives = parent is not None and parent.item.status in (PENDING, PROCESSING)
                row.parents[task] = None if lives else DONE
        row.held = None in row.parents.values()

    def _is_needed(self, row: Row) -> bool:
        """Whether a task that lives is after it."""
        return any(
            row.item.id in other.parents and other.item.status in (PENDING, PROCESSING)
            for other in self.rows.values()
        )

    # ---- making, handing out -----------------------------------------------------------------

    def _create(self, write: p.Create) -> p.Result:
        if (again := self._again(write.key)) is not None:
            return again
        result = self._new(write)
        if not isinstance(result, p.Refused | p.NoParent):
            self._keep_answer(write.key, result)
        return result

    def _createmany(self, write: p.CreateMany) -> p.Result:
        if (again := self._again(write.key)) is not None:
            return again
        before = self.rows.copy(), self.holds.copy(), self.events.copy()
        self.moved = {}
        result = p.CreatedMany([self._new(create) for create in write.creates])
        if write.is_atomic and any(isinstance(each, p.Refused) for each in result.results):
            self.rows, self.holds, self.events = before
            self.ended = []
            return p.Refused("")
        none = [r for r in result.results if isinstance(r, p.NoParent)]
        if write.is_atomic and none:
            self.rows, self.holds, self.events = before
            self.ended = []
            return p.NoParent(list(dict.fromkeys(task for each in none for task in each.ids)))
        self._settle()
        self._keep_answer(write.key, result)
        return result

    def _new(self, write: p.Create) -> p.Created | Existing | p.NoParent | p.Refused:
        moved = self.moved
        if none := [t for t in write.item.after if moved.get(t, t) not in self.rows]:
            return p.NoParent(none)
        if (holder := self._holder(write)) is not None:
            moved[write.item.id] = holder.item.id
            return Existing(holder.item)
        if write.item.id in self.rows:
            return p.Refused("")
        if write.unique is not None:
            self.holds[write.item.type, write.unique.key] = Hold(write.item.id, write.unique)
        after = tuple(dict.fromkeys(moved.get(t, t) for t in write.item.after))
        item = msgspec.structs.replace(write.item, after=after)
        self.rows[item.id] = row = Row(item, write.trace_parent)
        self._tell(EventType.CREATED, row)
        self._hold(row)
        return p.Created(item)

    def _holder(self, write: p.Create) -> Row | None:
        """The task that holds the unique key which this one asks for."""
        hold = write.unique and self.holds.get((write.item.type, write.unique.key))
        row = hold and self.rows.get(hold.task)
        if not hold or not row or row.item.status not in hold.key.states:
            return None
        ends = hold.key.expires_at
        return row if ends is None or ends > self.now else None

    def _again(self, key: IdempotencyKey | None) -> p.Result | None:
        """What somebody is answered who has asked before."""
        known = None if key is None else self.keys.get((key.principal, key.key))
        if key is None or known is None or known.expires_at <= self.now:
            return None
        same = known.request_hash == key.request_hash
        return Replayed(known.answer) if same else KeyReused()

    def _keep_answer(self, key: IdempotencyKey | None, result: p.Result) -> None:
        if key is not None:
            told = key.answer if isinstance(key.answer, Told) else key.answer(result)
            if told is None:
                return
            self.keys[key.principal, key.key] = Kept(key.request_hash, told, key.expires_at)

    def _forward(self, write: p.Forward) -> p.Result:
        if self.cursors.get(write.webhook) != write.after:
            return p.Stale()
        if any(item.id in self.rows for item in write.items):
            return p.Refused("")
        self.cursors[write.webhook] = write.through
        for item in write.items:
            self.rows[item.id] = row = Row(item)
            self._tell(EventType.CREATED, row)
        return p.Touched(len(write.items))

    def _claim(self, write: p.Claim) -> p.Result:
        most = min(write.limit, 1) if write.suspects else write.limit
        leases: list[Lease] = []
        while True:
            due = [row for row in self.rows.values() if self._may_begin(row, write)]
            left = most - len(leases)
            held = False
            for row in list(offered(due, dict(self.turns), left)):
                if len(leases) == most:
                    break
                if not self._may_begin(row, write):
                    held = True
                    continue
                leases.append(self._lease(row, write))
                self._begun(row, write)
            if len(leases) == most or not held:
                return p.Claimed(leases, is_bounded=bool(write.limits))

    def _may_begin(self, row: Row, write: p.Claim) -> bool:
        """Whether it is due and breaks no limit."""
        if not self._is_due(row, write):
            return False
        running, now = self._processing(), micros_from_utc(self.now)
        for limit in write.limits:
            if limit.queue == row.item.queue and room(limit, running, self.starts, now) <= 0:
                return False
            key = row.item.group_key
            if limit.queue != row.item.queue or key is None:
                continue
            if write.suspects:
                limit = msgspec.structs.replace(limit, key_rate=None)  # noqa: PLW2901 - one of few
            if room_of_key(limit, key, running, self.starts, now) <= 0:
                return False
        return True

    def _begun(self, row: Row, write: p.Claim) -> None:
        queue, key = row.item.queue, row.item.group_key
        if key is not None and not write.suspects:
            self.turns[queue] = key
        if any(limit.queue == queue for limit in write.limits):
            self.starts.append((micros_from_utc(self.now), queue, key))

    def _is_due(self, row: Row, write: p.Claim) -> bool:
        item = row.item
        return (
            item.status is PENDING
            and not row.held
            and row.suspect == write.suspects
            and item.run_at <= self.now
            and item.type in write.types
            and (not write.queues or item.queue in write.queues)
            and (Line.QUEUE, item.queue) not in self.paused
            and (Line.TYPE, item.type) not in self.paused
        )

    def _lease(self, row: Row, write: p.Claim) -> Lease:
        row.fence += 1
        row.owner, row.until = write.owner, self.boottime + write.lease
        row.change(
            status=PROCESSING,
            attempts=row.item.attempts + 1,
            started_at=self.now,
            updated_at=self.now,
        )
        self._tell(EventType.STARTED, row)
        return Lease(
            item=row.item,
            fence=row.fence,
            suspect=row.suspect,
            trace_parent=row.trace_parent,
            parents=tuple(map(self._parent, row.item.after)),
        )

    def _parent(self, task: TaskId) -> Parent:
        """What a task says to those that are after it (no result is large here)."""
        if task not in self.rows:
            return Parent(id=task, status=None)
        item = self.rows[task].item
        return Parent(id=task, status=item.status, error=item.error, result=item.result)

    # ---- ending ------------------------------------------------------------------------------

    def _end(self, row: Row, status: Status, **fields: object) -> None:
        """Leave Processing; a cancel that was asked for wins over everything but Done."""
        if row.item.cancel_requested and status in (PENDING, FAILED):
            status = CANCELLED
        finished = None if status is PENDING else self.now
        row.owner = None
        row.change(status=status, finished_at=finished, updated_at=self.now, **fields)
        self._tell(ENDS[status], row)

    def _finish(self, write: p.Finish) -> p.Result:
        row = self.rows.get(write.id)
        if row is None or not row.holds(write.fence):
            return p.Stale()
        if write.status in (PENDING, FAILED) and not write.refund:
            self._keep(row, write.error, write.cause)
        attempts = row.item.attempts - write.refund
        row.suspect = write.suspect
        mark = None if write.cause is None or write.status is DONE else write.cause.fingerprint
        again = write.status is PENDING and not row.item.cancel_requested
        run_at = write.run_at if again and write.run_at is not None else row.item.run_at
        result = None if write.result is None else msgspec.Raw(write.result)
        fields = {"result": result, "error": write.error, "fingerprint": mark, "run_at": run_at}
        fields["result_expires_at"] = write.result_until
        self._end(row, write.status, attempts=attempts, **fields)
        return p.Finished(row.item.status)

    def _keep(self, row: Row, error: str | None, cause: Cause | None) -> None:
        """One failure more; an older one of its like gives its trace away."""
        assert row.owner is not None
        if row.item.cancel_requested:
            return
        cause = cause or Cause("", "")
        if cause.trace:
            row.failed = [
                msgspec.structs.replace(old, trace=None)
                if (old.fingerprint or "") == cause.fingerprint
                else old
                for old in row.failed
            ]
        row.failed.append(
            PastAttempt(
                attempt=row.item.attempts,
                end=AttemptEnd.FAILED,
                started_at=row.item.started_at,
                ended_at=self.now,
                worker=worker_of(row.owner),
                error=error,
                fingerprint=cause.fingerprint or None,
                exception=cause.exception or None,
                place=cause.place or None,
                trace=cause.trace or None,
            )
        )

    def _progress(self, write: p.Progress) -> p.Result:
        row = self.rows.get(write.id)
        if row is None or not row.holds(write.fence):
            return p.Stale()
        row.change(progress=msgspec.Raw(write.data), updated_at=self.now)
        self._tell(EventType.PROGRESS, row)
        return p.Finished(PROCESSING)

    def _renew(self, write: p.Renew) -> p.Result:
        lost, cancel = [], []
        for task, fence in write.held:
            row = self.rows.get(task)
            if row is None or not row.holds(fence):
                lost.append(task)
                continue
            row.until = self.boottime + write.lease
            if row.item.cancel_requested:
                cancel.append(task)
        return p.Renewed(lost, cancel)

    def _release(self, write: p.Release) -> p.Result:
        count = 0
        for task, fence in write.held:
            row = self.rows.get(task)
            if row is not None and row.holds(fence):
                self._end(row, PENDING, attempts=row.item.attempts - 1)
                count += 1
        return p.Touched(count)

    # ---- what nobody holds any more ----------------------------------------------------------

    def _takeover(self, write: p.Takeover) -> p.Result:
        freed = []
        for row in self._held_by(write.owner):
            freed.append(row)
            if write.started is not None and row.item.id not in write.started:
                self._end(row, PENDING, attempts=row.item.attempts - 1)
            else:
                row.suspect = True
                self._give_back(row, "its worker died", "WorkerDied")
        return _swept(freed)

    def _sweep(self, write: p.Sweep) -> p.Result:
        freed = [row for row in self._processing() if self._is_over(row, write)]
        for row in freed:
            self._give_back(row, "lease expired", "LeaseExpired")
        flagged = [row.item.id for row in self._held_by(write.owner) if row.item.cancel_requested]
        return _swept(freed, sorted(flagged))

    def _is_over(self, row: Row, write: p.Sweep) -> bool:
        assert row.owner is not None
        expired = row.until <= self.boottime
        if row.owner == write.owner:
            return expired and row.item.id not in write.held
        if self.is_of_one_host and row.owner.split("/")[0] != write.owner.split("/")[0]:
            return True
        if row.owner in write.living:
            return row.until + 3 * write.lease <= self.boottime
        return expired

    def _give_back(self, row: Row, error: str, exception: str) -> None:
        cause = cause_of(row.item.type, exception)
        self._keep(row, error, cause)
        spent = row.item.attempts >= row.item.max_attempts
        if spent and not row.item.cancel_requested:
            self._end(row, FAILED, error=error, fingerprint=cause.fingerprint)
        else:
            self._end(row, PENDING)

    def _processing(self) -> list[Row]:
        return [row for row in self.rows.values() if row.item.status is PROCESSING]

    def _held_by(self, owner: Owner) -> list[Row]:
        return [row for row in self._processing() if row.owner == owner]

    # ---- queues and types --------------------------------------------------------------------

    def _pause(self, write: Pause) -> p.Result:
        if write.line is Line.TYPE and write.name not in self.types:
            return p.Missing()
        place = write.line, write.name
        if (place in self.paused) is write.paused:
            return p.Touched(0)
        self.paused ^= {place}
        self.audit.append(write.audit.message)
        return p.Touched(1)

    def circumstances(self, task: TaskId) -> Circumstances:
        """What is around a task."""
        row = self.rows[task]
        item = row.item
        return Circumstances(
            item=item,
            suspect=row.suspect,
            owner=row.owner,
            lease_left=row.until - self.boottime if row.owner else 0.0,
            queue_paused=(Line.QUEUE, item.queue) in self.paused,
            type_known=item.type in self.types,
            type_paused=(Line.TYPE, item.type) in self.paused,
            type_seen=self.types.get(item.type),
            ahead=sum(self._is_before(other, item) for other in self.rows.values()),
            running=len(self._processing()),
            in_queue=sum(other.item.queue == item.queue for other in self._processing()),
            of_key=sorted(
                other.item.id
                for other in self._processing()
                if item.group_key is not None
                and (other.item.queue, other.item.group_key) == (item.queue, item.group_key)
            ),
            waits_for=tuple(t for t, how in row.parents.items() if row.held and not how),
        )

    def _is_before(self, row: Row, item: TaskItem) -> bool:
        other = row.item
        return (
            other.status is PENDING
            and not (row.suspect or row.held)
            and other.run_at <= self.now
            and (other.type, other.queue) == (item.type, item.queue)
            and other.group_key == item.group_key
            and (item.group_key is None or other.priority == item.priority)
            and (-other.priority, other.run_at, other.id) < (-item.priority, item.run_at, item.id)
        )

    # ---- acts --------------------------------------------------------------------------------

    def _cancel(self, write: p.Cancel) -> p.Result:
        row = self.rows.get(write.id)
        if row is None:
            return p.Missing()
        if row.item.status is PENDING:
            row.change(cancel_requested=True)
            self._end(row, CANCELLED)
        elif row.item.status is PROCESSING:
            row.change(cancel_requested=True, updated_at=self.now)
        else:
            return p.Unchanged(row.item)
        return p.Changed(row.item)

    def _requeue(self, write: p.Requeue) -> p.Result:
        row = self.rows.get(write.id)
        if row is None:
            return p.Missing()
        if row.item.status not in (FAILED, CANCELLED):
            return p.Unchanged(row.item)
        row.change(cancel_requested=False, started_at=None, progress=None)
        self._end(
            row, PENDING, attempts=0, run_at=self.now, error=None, result=None, fingerprint=None
        )
        self.begun.append(row)
        return p.Changed(row.item)

    def _bulk(self, write: Bulk) -> p.Result:
        changed = stopping = 0
        ids = list(dict.fromkeys(write.ids))
        for task in ids:
            row = self.rows.get(task)
            if row is None or row.item.status not in ALLOWED[write.act] or self._is_told(row):
                continue
            if write.act is Act.DELETE and self._is_needed(row):
                continue
            changed += 1
            stopping += row.item.status is PROCESSING
            self._act(write.act, task)
        self._settle()
        return Acted(changed, len(ids) - changed, stopping)

    def _is_told(self, row: Row) -> bool:
        """Whether it runs and was asked to stop before."""
        return row.item.status is PROCESSING and row.item.cancel_requested

    def _act(self, act: Act, task: TaskId) -> None:
        match act:
            case Act.CANCEL:
                self._cancel(p.Cancel(id=task))
            case Act.RETRY:
                self._requeue(p.Requeue(id=task))
            case Act.DELETE:
                del self.rows[task]


def _swept(freed: Sequence[Row], cancel: Sequence[TaskId] = ()) -> p.Swept:
    requeued, failed, cancelled = (
        sorted(row.item.id for row in freed if row.item.status is status)
        for status in (PENDING, FAILED, CANCELLED)
    )
    return p.Swept(requeued, failed, cancelled, list(cancel))
