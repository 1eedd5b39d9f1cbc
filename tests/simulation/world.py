"""One simulated installation: its processes, its clients, what befalls them, and the judge."""

from __future__ import annotations

import random
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from taskhub.app.kin import Kin
from taskhub.config.sections import Config, SupervisorSection, WorkSection
from taskhub.kernel.clock import boottime
from taskhub.model import Incarnation, Owner, TaskId
from taskhub.ports import Committed, Write
from taskhub.store.sqlite.transaction import Statements
from taskhub.store.steps.clock import Clock
from taskhub.work.job import Job

from tests.simulation import lanes
from tests.simulation.bells import Bells
from tests.simulation.judge import Broken, Judge
from tests.simulation.lanes import Thread, Universe
from tests.simulation.node import API, GRACE, WORKER, Node
from tests.simulation.scripts import Script

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LETS_GO = 0.5
"""Seconds beside a third of a lease: then a worker that is awake knows that it has lost one."""


class World:
    """Everything of one seed; `statements` may be broken ones."""

    def __init__(
        self, seed: int, folder: Path, database: sqlite3.Connection, statements: Statements
    ) -> None:
        self.universe, self.numbers = Universe(seed), count(1)
        self.rng = self.universe.rng
        self.database, self.statements = database, statements
        self.folder = folder
        (self.folder / "locks").mkdir()
        self.bells, self.judge = Bells(self.universe), Judge(database)
        self.lease = self.rng.choice((1.0, 2.0, 3.0))
        self.config = Config(
            work=WorkSection(concurrency=self.rng.randint(1, 3), lease=self.lease),
            supervisor=SupervisorSection(grace=4.0),
        )
        self.has_root = self.rng.random() < 0.3
        """Whether somebody reaps the dead; else others find their locks free."""
        self.wanted = 0
        """How many tasks its clients ask for."""
        self.is_rough, self.boots, self.booted = True, count(1), -1_000.0
        self.boot = f"boot-{next(self.boots)}"
        self.locks: dict[Owner, str] = {}
        self.nodes: list[Node] = []
        self.scripts: dict[TaskId, Script] = {}
        self.running: dict[tuple[TaskId, int], tuple[Node, float, str]] = {}
        self.lost_since: dict[tuple[TaskId, int], float] = {}
        self.complaints: list[str] = []
        self.history: list[tuple[object, ...]] = []
        self.broken: AssertionError | None = None
        self.clock = Clock(self._micros, self.boottime)

    # ---- clocks ----

    def boottime(self) -> float:
        """Seconds since the boot."""
        return self.universe.now - self.booted

    def now(self) -> datetime:
        """The time of day."""
        return EPOCH + timedelta(microseconds=int(self.universe.now * 1e6))

    def _micros(self) -> int:
        return int(EPOCH.timestamp()) * 1_000_000 + int(self.universe.now * 1e6)

    def note(self, *what: object) -> None:
        """Write history."""
        self.history.append((round(self.universe.now, 4), *what))

    # ---- processes ----

    def begin(self, name: str) -> Node:
        """Start a process of that name: `api`, `worker-1`, ..."""
        node = Node(self, name, API if name == "api" else WORKER)
        self.nodes.append(node)
        self.locks[node.owner] = "held"
        self.note("starts", name, node.owner)
        node.begin()
        return node

    def living(self, name: str = "") -> list[Node]:
        """The processes that live, of that name."""
        return [n for n in self.nodes if not n.life.dead and (not name or n.name == name)]

    def kill(self, node: Node) -> None:
        """As SIGKILL."""
        if not node.life.dead:
            self.note("killed", node.name, node.owner)
            self._is_gone(node)

    def ends(self, node: Node) -> None:
        """It has ended by itself."""
        if not node.life.dead:
            self.note("ended", node.name, node.owner)
            self._is_gone(node)

    def _is_gone(self, node: Node) -> None:
        node.life.dead = True
        self.universe.lanes.remove(node.loop)
        self.bells.hang_up(node.loop)
        if self.locks.get(node.owner) == "held":
            self.locks[node.owner] = "free"
        self.running = {key: at for key, at in self.running.items() if at[0] is not node}
        self.universe.at(self.rng.choice((0.05, 0.5, 2.0)), partial(self._replace, node))

    def _replace(self, node: Node) -> None:
        """Whoever keeps processes alive starts the next one; a root has reaped the last one."""
        if self.has_root and node.name != "api" and (root := self.living("api")):
            root[0].call(partial(_bury, root[0], node.owner))
        self.begin(node.name)

    def probe(self, owner: Owner) -> str:
        """What the lock of an owner says."""
        if Incarnation.parse(owner).host != self.boot:
            return "unknown"
        return self.locks.get(owner, "unknown")

    # ---- what is seen ----

    def committed(self, node: Node, writes: Sequence[Write], done: Committed) -> None:
        """A transaction was made."""
        try:
            for id_, row in self.judge.committed(writes, done):
                self.note(node.name, id_[-4:], *row)
        except Broken as error:
            self.breaks(error)

    def enters(self, node: Node, job: Job) -> tuple[str, float]:
        """A handler begins."""
        key, script = (job.task.id, job.fence), self.scripts[job.task.id]
        act, seconds = script.next()
        self.note(node.name, job.task.id[-4:], "begins", job.fence, act, seconds)
        try:
            self.judge.starts(*key)
            self._check_alone(key)
        except Broken as error:
            self.breaks(error)
        self.running[key] = (node, self.universe.now, act)
        return act, seconds

    def leaves(self, node: Node, job: Job) -> None:
        """A handler ends."""
        key = (job.task.id, job.fence)
        self.note(node.name, job.task.id[-4:], "leaves", job.fence)
        self.running.pop(key, None)
        self.lost_since.pop(key, None)

    def _check_alone(self, key: tuple[TaskId, int]) -> None:
        """Nobody else runs this task, unless something has kept him from renewing or stopping."""
        for (id_, fence), (node, since, _) in self.running.items():
            if id_ == key[0] and self._was_well(node, since - 2 * self.lease):
                raise Broken(f"alone: {id_} runs under {fence} and {key[1]} at once")

    def _was_well(self, node: Node, since: float) -> bool:
        return not any(end > since for _, end in node.spells)

    def watch(self) -> None:
        """Now and then: a worker that has lost its lease must let go."""
        now = self.universe.now
        for key, (node, _, act) in self.running.items():
            patience = self.lease / 3 + LETS_GO + (GRACE if act == "stubborn" else 0.0)
            if self.judge.is_current(*key) or not self._was_well(node, now):
                self.lost_since.pop(key, None)
            elif now - self.lost_since.setdefault(key, now) > patience:
                self.breaks(Broken(f"lets go: {node.name} still runs {key}, whose lease is lost"))
        if self.broken is None:
            self.universe.at(0.25, self.watch)

    def breaks(self, error: AssertionError) -> None:
        """Remember the first invariant that did not hold."""
        self.broken = self.broken or error

    def bury(self) -> None:
        """Take everything away."""
        for node in self.nodes:
            node.life.dead = True
        for lane in self.universe.lanes:
            if isinstance(lane, Thread):
                lane.bury()
        for node in self.nodes:
            node.bury()


@contextmanager
def on_its_clocks(world: World) -> Iterator[None]:
    """The clocks, threads and dice of the actors are those of the world."""
    dice = random.getstate()
    random.seed(world.rng.random())
    threads = SimpleNamespace(Event=lanes.Event, Thread=lanes.Thread)
    places: dict[str, object] = {
        "taskhub.actors.bus_health.SystemRandom": lambda: world.rng,
        "taskhub.actors.renewal.threading": threads,
        "taskhub.obs.attempts.time": SimpleNamespace(time=lambda: world.now().timestamp()),
        **_clocks(world),
    }
    with ExitStack() as stack:
        for place, value in places.items():
            stack.enter_context(mock.patch(place, value))
        try:
            yield
        finally:
            random.setstate(dice)


def _clocks(world: World) -> dict[str, object]:
    """Wherever what actors are made of looks at a clock, that of the world."""

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return world.now()

    ours = {"datetime": (datetime, Moment), "boottime": (boottime, world.boottime)}
    return {
        f"{name}.{word}": instead
        for name, module in list(sys.modules.items())
        if name.startswith(("taskhub.actors.", "taskhub.work."))
        for word, (real, instead) in ours.items()
        if vars(module).get(word) is real
    }


def _bury(root: Node, dead: Owner) -> None:
    """As the root does when it has reaped a child."""
    kin = cast("Any", SimpleNamespace(_process=root))
    root.loop.create_task(Kin._on_death(kin, dead, 0, 0))
