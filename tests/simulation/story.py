"""The story of one seed: what clients ask, what befalls the processes, and how it must end."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from taskhub.bus import KINDS
from taskhub.errors import Trouble
from taskhub.kernel.mailbox import ActorFailed, MailboxClosed, MailboxFull
from taskhub.keys import IdempotencyKey, Replayed, Told
from taskhub.messages import Put
from taskhub.model import FINAL, Status, TaskId, TaskItem
from taskhub.ports import (
    Cancel,
    Create,
    Created,
    Requeue,
    Result,
    Write,
)
from taskhub.store.migrations.upgrade import as_sql
from taskhub.store.sqlite.session import connect
from taskhub.store.sqlite.transaction import Statements

from tests.simulation.judge import Broken
from tests.simulation.node import Node
from tests.simulation.scripts import write
from tests.simulation.world import World, on_its_clocks

ROUGH = 10.0
"""Seconds in which things befall a world."""
PATIENCE = 150.0
"""Seconds in which all must have ended after that, whatever happened."""


@dataclass(frozen=True)
class Verdict:
    """What became of one seed."""

    seed: int
    broken: str
    """Which invariant does not hold, and where; empty: all do. Words alone keep no world alive."""
    digest: str
    """Of the whole history: the same for the same seed, always."""
    seconds: float
    history: list[tuple[object, ...]]


class Plot:
    """Everything that happens to a world from outside, drawn from its seed."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.rng

    def begin(self) -> None:
        """Start the processes, plan what is asked and what befalls them."""
        world, at = self.world, self.world.universe.at
        for name in ("api", *(f"worker-{n + 1}" for n in range(self.rng.choice((1, 2, 2, 2, 3))))):
            world.begin(name)
        world.wanted = self.rng.randint(3, 8)
        for number in range(world.wanted):
            at(self.rng.uniform(0.1, ROUGH * 0.7), partial(self._create, number, self._wish()))
        for _ in range(self.rng.randint(0, 8)):
            at(self.rng.uniform(0.3, ROUGH), self._act)
        for _ in range(self.rng.randint(1, 7)):
            at(self.rng.uniform(0.2, ROUGH), self._befall)
        at(ROUGH, self._calm)
        at(0.5, world.watch)

    # ---- clients ----

    def _create(self, number: int, fields: dict[str, Any]) -> None:
        """A client asks for a task, under a key, until it has an answer."""
        world, script = self.world, fields["script"]
        item = _item(f"00000000-0000-7000-8000-{next(world.numbers):012d}", world.now(), fields)
        world.scripts[item.id] = script
        key = IdempotencyKey(
            principal="client",
            key=f"key-{number}",
            request_hash="same",
            answer=Told(201, item.id.encode()),
            expires_at=world.now() + timedelta(days=1),
        )

        def answered(result: Result | None) -> None:
            if not self._accepted(number, result):
                world.universe.at(0.5, partial(self._create, number, fields))

        self._ask(Create(item=item, key=key), answered)

    def _wish(self) -> dict[str, Any]:
        """What a client says of its task, and what the task will do."""
        return {
            "script": write(self.rng),
            "priority": self.rng.randint(-1, 1),
            "max_attempts": self.rng.randint(1, 4),
            "timeout_seconds": self.rng.choice((1.0, 30.0, 30.0)),
            "delay": self.rng.choice((0, 0, 0, 1, 3)),
        }

    def _ask(self, wish: Write, answered: Callable[[Result | None], None]) -> None:
        """Ask the API; `answered(None)` when no answer comes."""
        nodes, told = self.world.living("api"), list[bool]()

        def tell(result: Result | None) -> None:
            if not told:
                told.append(True)
                answered(result)

        self.world.universe.at(5.0 if nodes else 0.5, partial(tell, None))  # a client's patience
        if nodes:
            nodes[0].call(lambda: nodes[0].loop.create_task(_served(nodes[0], wish, tell)))

    def _accepted(self, number: int, result: Result | None) -> bool:
        match result:
            case Created(item=item):
                self.world.judge.accepted[f"key-{number}"] = item.id
            case Replayed(answer=answer):
                self.world.judge.accepted[f"key-{number}"] = TaskId(answer.body.decode())
            case _:
                return False
        return True

    def _act(self) -> None:
        """Somebody cancels a task, or retries one that has ended."""
        rows = self.world.judge.rows
        if rows:
            id_ = self.rng.choice(sorted(rows))
            wish = Requeue(id=id_) if Status(rows[id_].status) in FINAL else Cancel(id=id_)
            self.world.note("client", type(wish).__name__, id_[-4:])
            self._ask(wish, lambda _: None)

    # ---- what befalls them ----

    def _befall(self) -> None:
        if not self.world.is_rough:
            return
        fates = (
            *(self._kill, self._kill, *(self._freeze,) * 5),
            *(self._trouble, self._bus_away, self._bug, self._drain, self._lose_lock),
            *(self._lose_ledger, self._forge, self._block, self._power_cut),
        )
        fate = self.rng.choice(fates)
        if fate == self._power_cut and self.rng.random() < 0.5:
            return
        fate()

    def _one(self) -> Node | None:
        """Mostly one that is at work."""
        nodes = self.world.living()
        busy = [node for node in nodes if node.holdings.attempts]
        if busy and self.rng.random() < 0.9:
            return self.rng.choice(busy)
        return self.rng.choice(nodes) if nodes else None

    def _kill(self) -> None:
        if node := self._one():
            self.world.kill(node)

    def _freeze(self) -> None:
        """As SIGSTOP; a root that pings kills what does not answer for long."""
        node, lease = self._one(), self.world.lease
        if node is None:
            return
        seconds = lease * self.rng.choice((0.2, 0.5, 1.2, 2.0, 5.0))
        if self.rng.random() < 0.5:  # and nobody can tell that it lives: its lease is taken back
            self.world.locks.pop(node.owner, None)
            seconds = lease + self.rng.uniform(1.0, 3.0)
        self._suffers(node, seconds, "frozen")
        node.life.frozen_until = self.world.universe.now + seconds
        if self.world.has_root and seconds > lease * 2 / 3:
            self.world.universe.at(
                lease * self.rng.uniform(0.67, 0.8), partial(self.world.kill, node)
            )

    def _block(self) -> None:
        if node := self._one():
            seconds = self.rng.choice((0.5, 2.0)) * self.world.lease
            self._suffers(node, seconds, "blocked")
            node.life.blocked_until = self.world.universe.now + seconds

    def _trouble(self) -> None:
        """One cannot reach the database, or all cannot."""
        seconds = self.rng.choice((0.3, 1.0, 2.0)) * self.world.lease
        nodes = self.world.living() if self.rng.random() < 0.3 else [self._one()]
        for node in nodes:
            if node is not None:
                self._suffers(node, seconds, "without its database")
                node.trouble_until = self.world.universe.now + seconds

    def _suffers(self, node: Node, seconds: float, how: str) -> None:
        now = self.world.universe.now
        node.spells.append((now, now + seconds))
        self.world.note(node.name, how, round(seconds, 3))

    def _bus_away(self) -> None:
        self.world.note("bus", "away")
        self.world.bells.cut()
        self.world.universe.at(self.rng.uniform(0.5, 4.0), self._bus_back)

    def _bus_back(self) -> None:
        self.world.bells.is_away = False

    def _forge(self) -> None:
        self.world.bells.ring(KINDS)

    def _bug(self) -> None:
        if node := self._one():
            self.world.note(node.name, "has a bug")
            node.has_bug = True

    def _drain(self) -> None:
        if node := self._one():
            self.world.note(node.name, "drains")
            node.call(node.retire)

    def _lose_lock(self) -> None:
        """Somebody tidies up the runtime directory: nobody can tell who lives."""
        if node := self._one():
            self.world.note(node.name, "has no lock file any more")
            self.world.locks.pop(node.owner, None)

    def _lose_ledger(self) -> None:
        for path in sorted((self.world.folder / "locks").iterdir()):
            path.unlink()

    def _power_cut(self) -> None:
        """All die at once, and the next boot counts its seconds from the beginning."""
        world = self.world
        world.note("power", "cut")
        world.boot, world.booted = f"boot-{next(world.boots)}", world.universe.now
        for node in world.living():
            world.kill(node)

    def _calm(self) -> None:
        """From here on nothing befalls anybody."""
        self.world.is_rough = self.world.bells.faulty = self.world.bells.is_away = False
        for node in self.world.living():
            node.has_bug = False


def _item(name: str, now: datetime, fields: dict[str, Any]) -> TaskItem:
    return TaskItem(
        id=TaskId(name),
        title="a task",
        type="job",
        queue="default",
        priority=fields["priority"],
        status=Status.PENDING,
        payload=msgspec.Raw(b"{}"),
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=fields["max_attempts"],
        timeout_seconds=fields["timeout_seconds"],
        cancel_requested=False,
        created_at=now,
        updated_at=now,
        run_at=now + timedelta(seconds=fields["delay"]),
        started_at=None,
        finished_at=None,
        created_by="client",
    )


async def _served(node: Node, wish: Write, tell: Callable[[Any], None]) -> None:
    """As the API serves a request."""
    try:
        results = await Put(wish).sent_to(node.boxes.store)
    except (Trouble, MailboxFull, MailboxClosed, ActorFailed):
        tell(None)
    else:
        tell(results[0])


# ---- one seed ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """What all worlds are made of: statements (perhaps broken ones), and an empty database."""

    statements: Statements
    empty: bytes

    @classmethod
    def made(cls, statements: Statements) -> Ground:
        """From statements and the real migrations."""
        database = sqlite3.connect(":memory:")
        database.executescript(as_sql())
        empty = database.serialize()
        database.close()
        return cls(statements, empty)


def play(seed: int, ground: Ground) -> Verdict:
    """Live through one seed."""
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    (folder / "tasks.db").write_bytes(ground.empty)
    database = connect(folder / "tasks.db")
    for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {pragma}")
    world = World(seed, folder, database, ground.statements)
    try:
        with on_its_clocks(world):
            broken = _played(world)
    finally:
        world.bury()
        database.close()
        shutil.rmtree(folder)
    digest = sha256(repr(world.history).encode()).hexdigest()[:16]
    return Verdict(seed, broken, digest, world.universe.now, world.history)


def _played(world: World) -> str:
    Plot(world).begin()
    try:
        _until_the_end(world)
        if world.broken is None:
            world.judge.check_accepted()
    except AssertionError as error:
        world.breaks(error)
    if world.broken is None and world.complaints:
        world.breaks(Broken(f"complaints: {world.complaints}"))
    if world.broken is None:
        return ""
    said = str(world.broken) or type(world.broken).__name__
    world.note("BROKEN", said)
    world.broken = None
    return said


def _until_the_end(world: World) -> None:
    """Go on until all tasks have ended; raises Broken when that takes too long."""
    universe = world.universe
    universe.run(ROUGH)
    while world.broken is None:
        if not (world.judge.unfinished() or len(world.judge.accepted) < world.wanted):
            return
        if universe.now > ROUGH + PATIENCE:
            raise Broken(f"ends: {world.judge.unfinished()} have not ended")
        universe.run(universe.now + 0.5)
