"""A pool of a test's own handlers on a workshop's store: real runner, real threads, real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from taskhub.actors.holdings import Holdings
from taskhub.actors.pool import Lanes, Pool, PoolParts
from taskhub.attempts import Ended
from taskhub.config.sections import Config, SupervisorSection, WorkSection
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.clock import boot_id
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Stop, Wake
from taskhub.model import Incarnation, TaskId
from taskhub.obs.telemetry import Telemetry
from taskhub.ports import Renew, Renewed
from taskhub.schedules.schedule import Definition
from taskhub.work.attempt import Attempt
from taskhub.work.executor import Runner
from taskhub.work.ledger import Ledger, read_ledger
from taskhub.work.registry import Registry
from taskhub.work.signature import Function
from taskhub.work.threads import Threads

from tests.actors.workshop import Stage, Workshop, running

ME = Incarnation(boot_id(), "worker-1", "0123456789abcdef").owner


class Lane(Runner):
    """The real runner; `instead` may do something else with an attempt."""

    instead: Callable[[Attempt], Awaitable[Ended]] | None = None

    async def run(self, attempt: Attempt) -> Ended:
        return await (super().run(attempt) if self.instead is None else self.instead(attempt))


class Pooling:
    """What a test holds of a pool; the settings may be changed while it runs."""

    def __init__(self, shop: Workshop, *functions: Function, stop_grace: float = 5.0) -> None:
        self.shop, self.registry, self._stop_grace = shop, Registry.of(*functions), stop_grace
        self.config = Config()
        self.configure(concurrency=2)
        self.holdings = Holdings()
        self.ledger_path = shop.folder / "ledger"
        self.ledger = Ledger.create(self.ledger_path, 8)
        self.inbox: Mailbox[Wake | Stop] = Mailbox("pool", 64)
        self.retired, self.opening = asyncio.Event(), asyncio.Event()
        self.opening.set()
        self.pools = list[Pool]()
        self.main: Lane
        self.suspects: Lane
        self.renew: Callable[[Renew], Renewed] = shop.store.renew
        self.dies_at: type[Telemetry] | None = None
        self.schedules: dict[str, list[Definition]] = {}
        self.apart: tuple[str, ...] = ()
        """Types whose lane says by itself what it has started."""

    def configure(self, *, grace: float | None = None, **work: Any) -> None:
        """Change settings as a reload does."""
        section: WorkSection = msgspec.structs.replace(self.config.work, **work)
        supervisor = self.config.supervisor if grace is None else SupervisorSection(grace=grace)
        self.config = msgspec.structs.replace(self.config, work=section, supervisor=supervisor)

    def emit(self, event: Telemetry) -> None:
        """Keep what is told; once, a test may have it raise, as a bug would."""
        self.shop.told.append(event)
        if self.dies_at is type(event):
            self.dies_at = None
            raise ZeroDivisionError

    def spec(self) -> ChildSpec:
        """The pool, as a supervisor starts it."""
        parts = PoolParts(
            inbox=self.inbox,
            store_box=self.shop.box,
            renew=self.renew,
            types=self.registry.types(),
            schedules=self.schedules,
            lanes=self._lanes,
            ledger=self.ledger,
            owner=ME,
            settings=lambda: self.config,
            emit=self.emit,
            retire=self.retired.set,
            holdings=self.holdings,
            opening=self.opening,
        )

        def build() -> Pool:
            self.pools.append(Pool(parts))
            return self.pools[-1]

        return ChildSpec("pool", build, self.inbox, stop_timeout=30.0)

    def _lanes(self, pool: Pool) -> Lanes:
        threads = Threads(self.config.work.concurrency, "test-handler")
        self.main, self.suspects = (
            Lane(
                self.registry,
                threads,
                self.emit,
                on_progress=pool.on_progress,
                grace=self._stop_grace,
            )
            for _ in range(2)
        )

        async def close() -> None:
            self.main.close()
            self.suspects.close()
            threads.close()

        apart = dict.fromkeys(self.apart, self.main)
        return Lanes(self.main, self.suspects, Attempt, threads.resize, close, apart)

    def ring(self) -> None:
        """The bell: there may be work."""
        self.inbox.post(Wake())

    def started(self) -> list[TaskId]:
        """What the ledger blames for a sudden death at this moment."""
        return read_ledger(self.ledger_path) or []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stage]:
        """Store and pool, started; a drain ends them."""
        try:
            async with running([self.shop.store_spec(), self.spec()]) as stage:
                yield stage
        finally:
            self.ledger.close()


class Gate:
    """Where handlers of a test wait until they are let through; it counts who has come."""

    def __init__(self) -> None:
        self.came, self.stopped = list[int](), list[int]()
        self.at_once = self._now = 0
        self._free, self._news = asyncio.Event(), asyncio.Event()

    async def wait(self, number: int = 0) -> None:
        """Be a handler here."""
        self.came.append(number)
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        self._news.set()
        try:
            await self._free.wait()
        except asyncio.CancelledError:
            self.stopped.append(number)
            raise
        finally:
            self._now -= 1

    def open(self) -> None:
        """Let all through, from now on."""
        self._free.set()

    async def has(self, count: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(10):
            while len(self.came) < count:
                self._news.clear()
                await self._news.wait()
