"""Real child processes for the kernel's tests: how they are started, and what they told."""

from __future__ import annotations

import asyncio
import itertools
import os
import select
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from taskhub.kernel.actor import RestartLimit
from taskhub.kernel.call import Unreachable, call
from taskhub.kernel.events import ChildSpawned, KernelEvent
from taskhub.kernel.process import Birth, ProcessSpec, child_process

from tests import leaks
from tests.unit.kernel.cast import Stage, raise_curtain
from tests.waiting import Signal, until

E = TypeVar("E")
ROOT = Path(__file__).parents[3]
PROGRAMS = "tests.unit.kernel.programs"
PASSED_ON = ("PATH", "COVERAGE_PROCESS_START", leaks.TOKEN)


def environment() -> dict[str, str]:
    """What a child of a test needs, and nothing else."""
    known = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return known | {"PYTHONPATH": str(ROOT)}


def unit_argv(birth: Birth, *orders: str) -> list[str]:
    """The command line of the unit that plays a child."""
    program = f"{PROGRAMS}.unit"
    return [sys.executable, "-m", program, str(birth.lifeline), str(birth.socket), *orders]


def process_spec(folder: Path, *orders: str, **changes: Any) -> ProcessSpec:
    """A child process with quick pings that obeys the orders (see programs/unit.py)."""
    numbers = itertools.count(1)
    spec = ProcessSpec(
        name="unit",
        argv=lambda birth: unit_argv(birth, *orders),
        env=environment(),
        mint=lambda: f"incarnation-{next(numbers)}",
        socket=folder / "unit.sock",
        snapshot=lambda birth: f"snapshot of {birth.incarnation}".encode(),
        ping_every=0.1,
        lease=lambda: 1.5,
        stop_timeout=10.0,
    )
    return replace(spec, **changes)


@dataclass
class Troupe:
    """A supervisor with one child process, and all that was told, in order."""

    stage: Stage
    spec: ProcessSpec
    told: list[str] = field(default_factory=list)
    spawned: Signal[tuple[int, str]] = field(default_factory=Signal)
    died: Signal[tuple[str, int, int]] = field(default_factory=Signal)

    async def say(self, verb: str, **args: Any) -> dict[str, Any]:
        """Ask the living child."""
        assert self.spec.socket is not None
        return await call(self.spec.socket, verb, **args)

    async def order(self, verb: str, **args: Any) -> None:
        """Ask for what the child does not live to answer."""
        try:
            await self.say(verb, **args)
        except Unreachable:
            return

    async def serving(self, incarnation: str) -> None:
        """Wait until that incarnation is ready, and its supervisor knows."""
        await until(lambda: f"ready {incarnation}" in self.told, what=str(self.stage.events))

    def events(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return self.stage.of(kind)


@asynccontextmanager
async def troupe(
    spec: ProcessSpec, limit: RestartLimit | None = None, wait: Callable[[Troupe], object] = bool
) -> AsyncIterator[Troupe]:
    """Run one child process under a supervisor; both are stopped at the end."""
    group = Troupe(Stage.__new__(Stage), spec)

    async def on_spawn(pid: int, incarnation: str) -> None:
        group.told.append(f"spawn {incarnation}")
        group.spawned((pid, incarnation))

    async def on_death(incarnation: str, pid: int, status: int) -> None:
        group.told.append(f"death {incarnation}")
        group.died((incarnation, pid, status))

    child = child_process(spec, on_spawn, on_death)
    group.stage = stage = raise_curtain([child], limit or RestartLimit(base=0.01))
    stage.ctx.emit = lambda event: _tell(group, event)
    try:
        yield group
    finally:
        stage.ctx.stopping.set()
        await asyncio.wait({stage.task})


def _tell(group: Troupe, event: KernelEvent) -> None:
    group.stage.events.append(event)
    if type(event).__name__ == "ActorReady":
        (*_, spawn) = group.events(ChildSpawned)
        group.told.append(f"ready {spawn.incarnation}")


def is_gone(pid: int, within: float = 10.0) -> bool:
    """Whether a process that may not be our child ends in time (its pidfd says so)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], within)[0])
    finally:
        os.close(fd)
