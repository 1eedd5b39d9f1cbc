"""One simulated process: the real actors under the real supervisor, as `taskhub.app` wires them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, cast

from taskhub.actors.bus_health import BusHealth
from taskhub.actors.holdings import Holdings
from taskhub.actors.pool import Lanes, Pool, PoolParts
from taskhub.actors.reaper import Holder, Neighbours, Reaper
from taskhub.actors.store import StoreHealth
from taskhub.app.process import Boxes, Live
from taskhub.app.rings import ring
from taskhub.app.specs import spec_of
from taskhub.attempts import Ended
from taskhub.kernel.actor import ChildSpec, Context, RestartLimit
from taskhub.kernel.supervisor import Supervisor
from taskhub.model import Incarnation, Owner
from taskhub.obs.telemetry import Committed, LeasesTaken, TaskProcessed, Telemetry
from taskhub.ports import Committed as Commit
from taskhub.ports import Write
from taskhub.work.attempt import Attempt
from taskhub.work.executor import Runner
from taskhub.work.incarnation import ledger_file
from taskhub.work.job import Job
from taskhub.work.lane import _as_suspect
from taskhub.work.ledger import Ledger
from taskhub.work.neighbours import forget, started

from tests.simulation.bells import Bus
from tests.simulation.inline import InlineStore
from tests.simulation.lanes import Life, Loop, pause
from tests.simulation.scripts import REGISTRY

if TYPE_CHECKING:
    from taskhub.config.sections import Config

    from tests.simulation.world import World

WORKER = ("store", "publisher", "scheduler", "reaper", "pool", "subscriber")
API = ("store", "publisher")
GRACE = 1.5
"""Seconds that a handler of a simulation has to end in after it was told to."""
BUGS: tuple[type[Telemetry], ...] = (Committed, TaskProcessed, LeasesTaken)
"""What an actor says at the moment when a bug may crash it."""


class Try(Attempt):
    """An attempt whose place in a set is the same in each run of a seed."""

    def __hash__(self) -> int:
        return hash((int(self.id[-12:], 16), self.lease.fence))


class Apart(Runner):
    """The suspects' lane: what kills its process kills a processor, and the worker lives on."""

    async def run(self, attempt: Attempt) -> Ended:
        end = await super().run(attempt)
        return _as_suspect(end) if attempt.left == "dead" else end


class Node:
    """A process of the world; it ends when it is killed, or when its supervisor has ended."""

    def __init__(self, world: World, name: str, entries: Sequence[str]) -> None:
        self.world, self.name, self.entries = world, name, tuple(entries)
        self.life = Life()
        self.loop = Loop(world.universe, self.life, self._on_error)
        self.loop.stage = self
        self.owner: Owner = Incarnation(world.boot, name, f"{next(world.numbers):016x}").owner
        self.boxes = Boxes.sized(256)
        self.store = InlineStore(world.database, world.statements, world.clock, self)
        self.bus = Bus(world.bells, self.loop)
        self.store_health, self.publishing = StoreHealth(), BusHealth()
        self.hearing = BusHealth(part="events-in")
        self.live = Live(world.config)
        self.rings: list[Callable[[frozenset[str]], None]] = []
        self.follows: list[Callable[[Config], None]] = []
        self.holdings = Holdings()
        self.ledger: Ledger | None = None
        self.trouble_until, self.has_bug = 0.0, False
        self.spells: list[tuple[float, float]] = []
        """When it could not do what it should: frozen, blocked, or without its database."""
        self.ctx = Context(name)
        self.runtime = world.folder

    # ---- its life ----

    def begin(self) -> None:
        """Start all actors."""
        specs = [self._spec(name) for name in self.entries]
        supervisor = Supervisor(specs, RestartLimit(intensity=20))
        self.world.universe.lanes.append(self.loop)
        self.task = self.loop.create_task(supervisor.run(self.ctx))
        self.task.add_done_callback(self._on_end)

    def retire(self) -> None:
        """Drain, as SIGTERM does."""
        self.ctx.stopping.set()

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self.world.ends(self)

    def _on_error(self, text: str) -> None:
        self.world.complaints.append(f"{self.name}: {text}")

    def call(self, act: Callable[[], Any]) -> None:
        """Have something done in its loop; a dead process does nothing."""
        if not self.life.dead:
            self.loop.call_soon_threadsafe(act)

    # ---- its actors ----

    def emit(self, event: Telemetry) -> None:
        """Hear what is told; where a bug waits, it strikes."""
        if self.has_bug and isinstance(event, BUGS):
            self.has_bug = False
            raise ZeroDivisionError

    def _spec(self, name: str) -> ChildSpec:
        if name == "pool":
            return self._pool()
        if name == "reaper":
            return self._reaper()
        return spec_of(cast("Any", self), name)

    def _pool(self) -> ChildSpec:
        path = ledger_file(self.runtime, self.owner)
        assert path is not None
        self.ledger = Ledger.create(path, 8)
        opening = asyncio.Event()
        opening.set()
        parts = PoolParts(
            inbox=self.boxes.pool,
            store_box=self.boxes.store,
            renew=self.store.renew,
            types=REGISTRY.types(),
            schedules={},
            lanes=self._lanes,
            ledger=self.ledger,
            owner=self.owner,
            settings=self.live,
            emit=self.emit,
            retire=self.retire,
            holdings=self.holdings,
            opening=opening,
        )
        self.rings.append(ring(self.boxes.pool, "work"))
        return ChildSpec("pool", lambda: Pool(parts), self.boxes.pool, stop_timeout=12.0)

    def _lanes(self, pool: Pool) -> Lanes:
        main, suspects = (
            kind(
                REGISTRY,
                cast("Any", None),  # the handler is a coroutine: nothing runs in threads
                self.emit,
                on_progress=pool.on_progress,
                grace=GRACE,
                rng=Random(next(self.world.numbers)),
            )
            for kind in (Runner, Apart)
        )

        async def close() -> None:
            main.close()
            suspects.close()

        return Lanes(main, suspects, Try, lambda _: None, close)

    def _reaper(self) -> ChildSpec:
        holder = Holder(
            owner=self.owner,
            held=lambda: tuple(self.holdings.attempts),
            lease=lambda: float(self.world.config.work.lease),
            pool=self.boxes.pool,
        )
        neighbours = Neighbours(
            probe=self.world.probe,
            started=partial(started, self.runtime),
            forget=self._forget,
        )
        box = self.boxes.reaper
        self.rings.append(ring(box, "cancel"))
        at = (self.boxes.store, self.store)
        return ChildSpec("reaper", lambda: Reaper(box, at, holder, neighbours, self.emit), box)

    def _forget(self, owner: Owner) -> None:
        forget(self.runtime, owner)
        self.world.locks.pop(owner, None)

    # ---- its database: the weather of its store ----

    def delay(self) -> float:
        """Seconds that the next step takes."""
        return self.world.universe.rng.uniform(0.0003, 0.008)

    def is_in_trouble(self) -> bool:
        """Whether the database can be reached now."""
        return self.world.universe.now < self.trouble_until

    def loses(self) -> bool:
        """Whether this answer is lost."""
        return self.world.is_rough and self.world.universe.rng.random() < 0.01

    def committed(self, writes: Sequence[Write], done: Commit) -> None:
        """Have it judged."""
        self.world.committed(self, writes, done)

    # ---- its handlers ----

    def enters(self, job: Job) -> tuple[str, float]:
        """A handler begins."""
        return self.world.enters(self, job)

    def leaves(self, job: Job) -> None:
        """A handler has ended."""
        if not self.life.dead:
            self.world.leaves(self, job)

    def blocks(self, seconds: float) -> None:
        """A handler computes: nothing else of the loop moves, but threads do."""
        now = self.world.universe.now
        self.life.blocked_until = now + seconds
        self.spells.append((now, now + seconds))

    async def dies(self, job: Job) -> None:
        """A handler kills its process; in the suspects' lane that is a processor."""
        attempt = job._attempt
        if attempt.lease.suspect:
            attempt.left = "dead"
            raise RuntimeError("its process died")
        self.world.kill(self)
        await pause(1e9)

    def bury(self) -> None:
        """Take away what is left of it, at the end of the world."""
        self.life.dead = True
        self.close_ledger()
        with contextlib.suppress(RuntimeError):
            self.loop.bury()

    def close_ledger(self) -> None:
        """As the kernel does at its end; the file stays."""
        if self.ledger is not None:
            self.ledger.close()
