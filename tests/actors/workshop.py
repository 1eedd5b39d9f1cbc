"""A store on a real file with its actor, tasks in it, and what the actors around it need."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from taskhub.actors.store import StoreActor, StoreHealth
from taskhub.kernel.actor import ChildSpec, Context, RestartLimit
from taskhub.kernel.events import KernelEvent
from taskhub.kernel.mailbox import Mailbox
from taskhub.kernel.supervisor import Supervisor
from taskhub.messages import Publish, Put
from taskhub.model import Owner, Status, TaskId, TaskItem
from taskhub.obs.telemetry import Telemetry
from taskhub.ports import Claim, Claimed, Create, Result, Write
from taskhub.store.sqlite import SqliteStore
from taskhub.store.steps.clock import Clock
from uuid_utils import uuid7

from tests.waiting import until

T = TypeVar("T", bound=Telemetry)
OTHER = Owner("another-boot/worker-9/00")


class Workshop:
    """What a test holds of the store and its actor; `skipped` moves the store's clocks ahead."""

    def __init__(self, folder: Path, empty: Path, lock_timeout: float = 2.0) -> None:
        self.folder, self.path, self.skipped = folder, folder / "tasks.db", 0.0
        shutil.copy(empty, self.path)
        self.store = SqliteStore(self.path, lock_timeout, self._clock())
        self.box: Mailbox[Put] = Mailbox("store", 1024)
        self.outbox: Mailbox[Publish] = Mailbox("publisher", 1024)
        self.health, self.told = StoreHealth(), list[Telemetry]()

    def _clock(self) -> Clock:
        real = Clock()
        return replace(
            real,
            time_of_day=lambda: real.time_of_day() + int(self.skipped * 1e6),
            boottime=lambda: real.boottime() + self.skipped,
        )

    def store_spec(self) -> ChildSpec:
        """The store actor, as a supervisor starts it."""

        def build() -> StoreActor:
            return StoreActor(self.box, self.store, self.outbox, self.health, self.told.append)

        return ChildSpec("store", build, self.box)

    async def put(self, *writes: Write) -> Sequence[Result]:
        """Write as another actor would."""
        return await Put(*writes).sent_to(self.box)

    async def create(self, kind: str = "job", payload: Any = None, **changes: Any) -> TaskId:
        """A task on disk."""
        item = task(kind, payload, **changes)
        await self.put(Create(item=item))
        return item.id

    async def create_many(self, count: int, kind: str = "job", **changes: Any) -> list[TaskId]:
        """So many tasks, in one transaction."""
        items = [task(kind, {"n": n}, **changes) for n in range(count)]
        await self.put(*(Create(item=item) for item in items))
        return [item.id for item in items]

    async def claim(self, owner: Owner = OTHER, limit: int = 10, lease: float = 15.0) -> Claimed:
        """Take tasks of the type `job` as another worker would."""
        write = Claim(owner=owner, limit=limit, lease=lease, types=["job"])
        claimed = (await self.put(write))[0]
        assert isinstance(claimed, Claimed)
        return claimed

    async def row(self, task_id: TaskId) -> TaskItem:
        """The task as it is now."""
        return (await self.store.get([task_id]))[0]

    async def rows(self, ids: Iterable[TaskId]) -> list[TaskItem]:
        """The tasks as they are now."""
        return await self.store.get(list(ids))

    async def until_status(self, ids: Iterable[TaskId], status: Status) -> list[TaskItem]:
        """Wait until all of them have come to a status."""
        wanted = list(ids)
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT Id, Status FROM Tasks WHERE Id IN ({marks})"  # noqa: S608 - marks alone
        with closing(sqlite3.connect(self.path, timeout=10)) as reader:

            def others() -> list[Any]:
                rows = reader.execute(query, wanted).fetchall()
                return [row for row in rows if row[1] != status]

            await until(lambda: not others(), 30.0, f"not {status}: {wanted}")
        return await self.rows(wanted)

    def said(self, kind: type[T]) -> list[T]:
        """What was told of one kind."""
        return [event for event in self.told if type(event) is kind]

    async def heard(self, kind: type[T], count: int = 1) -> list[T]:
        """Wait until so much was told of one kind."""
        await until(lambda: len(self.said(kind)) >= count, what=f"no {kind.__name__}: {self.told}")
        return self.said(kind)

    def locked(self) -> sqlite3.Connection:
        """Another program that holds the database until its connection is closed."""
        other = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        return other

    def sql(self, *statements: str) -> list[Any]:
        """What an administrator may do by hand; the rows of the last statement."""
        with sqlite3.connect(self.path, isolation_level=None, timeout=10) as other:
            rows = [other.execute(statement).fetchall() for statement in statements]
        other.close()
        return rows[-1]


def task(kind: str = "job", payload: Any = None, **changes: Any) -> TaskItem:
    """A new task of `age` seconds, due now unless `delay` (seconds) says otherwise."""
    now = datetime.now(UTC) - timedelta(seconds=changes.pop("age", 0.0))
    item = TaskItem(
        id=_id_of(now),
        title="a task",
        type=kind,
        queue="default",
        priority=0,
        status=Status.PENDING,
        payload=msgspec.Raw(json.dumps({} if payload is None else payload).encode()),
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=5,
        timeout_seconds=60.0,
        cancel_requested=False,
        created_at=now,
        updated_at=now,
        run_at=now + timedelta(seconds=changes.pop("delay", 0.0)),
        started_at=None,
        finished_at=None,
        created_by="tests",
    )
    return msgspec.structs.replace(item, **changes)


def _id_of(moment: datetime) -> TaskId:
    """As the API makes ids, at a moment of the test's choice."""
    millis, now = int(moment.timestamp() * 1_000), str(uuid7())
    digits = f"{millis:012x}"
    return TaskId(f"{digits[:8]}-{digits[8:12]}{now[13:]}")


class Stage:
    """A supervisor that runs, and what it told."""

    def __init__(self, specs: Sequence[ChildSpec]) -> None:
        self.events: list[KernelEvent] = []
        self.ctx = Context("", self.events.append)
        self.supervisor = Supervisor(specs, RestartLimit(base=0.001, cap=0.01))
        self.task = asyncio.create_task(self.supervisor.run(self.ctx))

    async def stop(self) -> None:
        """As a drain does; raises what the supervisor failed with."""
        self.ctx.stopping.set()
        await self.task

    async def is_ready(self) -> None:
        """Wait for all, or for the end."""
        ready = asyncio.ensure_future(self.ctx.is_ready.wait())
        await asyncio.wait({ready, self.task}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    def restarts(self, name: str) -> int:
        """How often an actor was started anew."""
        return next(row.restarts for row in self.supervisor.tree() if row.name == name)


@asynccontextmanager
async def running(specs: Sequence[ChildSpec]) -> AsyncIterator[Stage]:
    """Actors under a supervisor, started; they are stopped in the end if they still run."""
    stage = Stage(specs)
    await stage.is_ready()
    try:
        yield stage
    finally:
        stage.ctx.stopping.set()
        await asyncio.wait({stage.task})
        assert stage.task.exception() is None, stage.events
