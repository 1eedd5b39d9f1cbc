"""What the tests of this folder speak: a store, its clock, and short words for the usual steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
from taskhub.model import Event, Lease, Owner, Status, TaskId, TaskItem
from taskhub.ports import Claim, Claimed, Create, Created, Finish, Result, Store, Swept, Write

from tests.conformance.store.backend import Backend, Hands

BOOT = "11111111-2222-3333-4444-555555555555"
A, B, C = (Owner(f"{BOOT}/worker-{n}/{n}f00") for n in (1, 2, 3))
FOREIGN = Owner("99999999-0000-0000-0000-000000000000/worker-1/dead")
"""An owner of another boot of this host."""

LEASE = 15.0
TYPES = ("simulate", "resize", "ended")


def new_id(micros: int, number: int) -> TaskId:
    """A UUIDv7 made at this time; of the same millisecond the higher number is the later one."""
    millis = f"{micros // 1_000:012x}"
    return TaskId(f"{millis[:8]}-{millis[8:]}-7000-8000-{number:012x}")


@dataclass
class World:
    """An open store on an empty database."""

    backend: Backend
    hands: Hands
    store: Store
    events: list[Event] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def task(self, **fields: Any) -> TaskItem:
        """A new task, due now."""
        now = self.hands.now
        plain: dict[str, Any] = {
            "id": new_id(self.hands.micros(), next(self.numbers)),
            "title": "Resize images",
            "type": "simulate",
            "queue": "default",
            "priority": 0,
            "status": Status.PENDING,
            "payload": msgspec.Raw(b'{"seconds":0.05}'),
            "result": None,
            "error": None,
            "progress": None,
            "attempts": 0,
            "max_attempts": 3,
            "timeout_seconds": 60.0,
            "cancel_requested": False,
            "created_at": now,
            "updated_at": now,
            "run_at": now,
            "started_at": None,
            "finished_at": None,
            "created_by": "user-1",
        }
        return TaskItem(**(plain | fields))

    async def do(self, *writes: Write) -> Sequence[Result]:
        """Commit; the events are added to `events`."""
        done = await self.store.commit(writes)
        self.events += done.events
        return done.results

    async def one(self, write: Write) -> Result:
        """Commit one write."""
        (result,) = await self.do(write)
        return result

    async def add(self, number: int = 1, **fields: Any) -> list[TaskId]:
        """Store new tasks; their ids, oldest first."""
        items = [self.task(**fields) for _ in range(number)]
        results = await self.do(*(Create(item=item) for item in items))
        assert all(isinstance(result, Created) for result in results)
        return [item.id for item in items]

    async def claim(self, owner: Owner = A, limit: int = 100, **fields: Any) -> Sequence[Lease]:
        """Claim up to `limit` tasks of the usual types."""
        plain: dict[str, Any] = {"lease": LEASE, "types": TYPES}
        result = await self.one(Claim(owner=owner, limit=limit, **(plain | fields)))
        assert isinstance(result, Claimed)
        return result.leases

    async def running(self, owner: Owner = A, **fields: Any) -> Lease:
        """A new task that `owner` holds."""
        (task,) = await self.add(**fields)
        (lease,) = [lease for lease in await self.claim(owner) if lease.item.id == task]
        return lease

    async def finish(self, lease: Lease, status: Status = Status.DONE, **fields: Any) -> Result:
        """End an attempt."""
        return await self.one(Finish(id=lease.item.id, fence=lease.fence, status=status, **fields))

    async def item(self, task: TaskId) -> TaskItem:
        """How the task is now."""
        (item,) = await self.store.get([task])
        return item

    async def swept(self, write: Write) -> Swept:
        """Commit a sweep or a takeover."""
        result = await self.one(write)
        assert isinstance(result, Swept)
        return Swept(*(list(getattr(result, name)) for name in Swept.__struct_fields__))

    def told(self) -> list[tuple[str, TaskId]]:
        """The events since the last look, as (type, id)."""
        told = [(event.type.value, event.id) for event in self.events]
        self.events.clear()
        return told
