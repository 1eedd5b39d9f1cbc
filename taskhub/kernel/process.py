"""A child process as an actor: spawn, ready, ping, kill, stop, reap; it knows no work of its own.

The process that runs must be spawned in the main thread: the kernel ends it with the *thread*
that started it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskhub.kernel.actor import ChildSpec, Context, ExpectedExit, Hopeless, Restart
from taskhub.kernel.call import Refused, Unreachable, call
from taskhub.kernel.events import ChildExited, ChildKilled, ChildSpawned, HookFailed
from taskhub.kernel.spawn import Birth, Spawned, spawn

__all__ = [
    "EXIT_REPLACE_ME",
    "Birth",
    "ChildDied",
    "ChildLost",
    "ChildProcess",
    "Health",
    "OnDeath",
    "OnSpawn",
    "Probe",
    "ProcessSpec",
    "ReplaceMe",
    "child_process",
]

EXIT_REFUSED = Hopeless.code
"""The exit code of a child that cannot start until an operator mends something."""
EXIT_REPLACE_ME = 75
"""The exit code of a child that wants to be replaced by a fresh one: no strike."""

FROZEN_AFTER = 2 / 3  # of the lease: it must be dead before its leases may lapse
PING_WITHIN = 1.0  # seconds for one answer
LOOK_FIRST, LOOK_LAST = 0.01, 0.2  # seconds between two looks whether a new child is ready
HOOK_WITHIN = 10.0  # seconds for a hook
OVERDUE_PINGS = 2  # one may be bad luck: the whole machine stood still


class ChildDied(Exception):
    """A child process ended before it was ready: that is a bug, and it counts."""


class ChildRefused(Hopeless, ChildDied):
    """A child process said that it cannot start as things are; why is in its log."""


class ChildLost(ExpectedExit):
    """A child process ended after it was ready: what it runs may kill it, it never counts."""


class ReplaceMe(ExpectedExit):
    """A child process asked for a fresh one in its place."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a child says of itself: `overdue` = its loop is blocked past a task's deadline."""

    ready: bool
    overdue: bool = False


Probe = Callable[[int], Awaitable[Health]]
"""Asks the child of that pid; raises Unreachable (or OSError) when there is no answer."""
OnSpawn = Callable[[int, str], Awaitable[None]]
"""Called with (pid, incarnation) when a child was started."""
OnDeath = Callable[[str, int, int], Awaitable[None]]
"""Called with (incarnation, pid, status) after the reap and before the next start; `status` is
the exit code, or minus the number of the signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """How to make and judge one child process; times in seconds.

    The child gets `env` and nothing else, /dev/null as its stdin, `pass_fds` under their own
    numbers, and a session of its own; without `own_session` it has a group in ours, so that it and
    what it has started end when we are reaped. `socket` is its supervision socket, which is pinged
    each `ping_every`; `probe` replaces that ping for programs that are not ours. `snapshot` gives
    what the child reads from its lifeline (None: no lifeline, for foreign programs).
    `lease` and `grace` are asked each time, so that a reload changes them in place; a stop may
    take `stop_timeout` and `grace`.
    """

    name: str
    argv: Callable[[Birth], Sequence[str]]
    env: Mapping[str, str]
    mint: Callable[[], str]
    socket: Path | None = None
    snapshot: Callable[[Birth], bytes] | None = None
    probe: Probe | None = None
    pass_fds: Sequence[int] = ()
    own_session: bool = True
    output: int | None = None
    cwd: Path | None = None
    ready_timeout: float = 30.0
    ping_every: float = 1.0
    lease: Callable[[], float] = lambda: 15.0
    stop_timeout: float = 30.0
    grace: Callable[[], float] = lambda: 0.0


async def _no_spawn_hook(pid: int, incarnation: str) -> None:
    """Do nothing."""


async def _no_death_hook(incarnation: str, pid: int, status: int) -> None:
    """Do nothing."""


class ChildProcess:
    """An actor whose run is one operating-system process."""

    def __init__(
        self,
        spec: ProcessSpec,
        on_spawn: OnSpawn = _no_spawn_hook,
        on_death: OnDeath = _no_death_hook,
    ) -> None:
        """`pid` is that of the process while it lives, for the actor tree."""
        self.spec, self._on_spawn, self._on_death = spec, on_spawn, on_death
        self.pid: int | None = None
        self._was_ready = False

    async def run(self, ctx: Context) -> None:
        """Live as long as the process does; raise ChildDied, ChildLost or ReplaceMe for it."""
        child = spawn(self.spec)
        self.pid = child.pid
        ctx.emit(ChildSpawned(ctx.name, child.pid, child.birth.incarnation))
        reason = "nobody keeps it any more"
        try:
            await self._hook(ctx, "on_spawn", self._on_spawn(child.pid, child.birth.incarnation))
            reason = await self._accompany(ctx, child)
        finally:
            status = await to_the_end(self._bury(ctx, child, reason))
        if not ctx.stopping.is_set():
            raise self._verdict(status)

    async def _accompany(self, ctx: Context, child: Spawned) -> str:
        """Wait for its exit, or for a reason to kill it."""
        judges = [
            asyncio.create_task(self._judge(ctx, child)),
            asyncio.create_task(self._stop_when_asked(ctx, child)),
        ]
        waits: set[asyncio.Future[Any]] = {child.exited, *judges}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return next((judge.result() for judge in judges if judge.done()), "")
        finally:
            for judge in judges:
                judge.cancel()
            await asyncio.gather(*judges, return_exceptions=True)

    async def _judge(self, ctx: Context, child: Spawned) -> str:
        """Ping for as long as it lives; return why it must be killed."""
        try:
            async with asyncio.timeout(self.spec.ready_timeout):
                await self._birth(child)
        except TimeoutError:
            return f"not ready in {self.spec.ready_timeout:g} s"
        self._was_ready = True
        ctx.ready()
        silent, overdue, every = 0.0, 0, self.spec.ping_every
        while silent < (limit := FROZEN_AFTER * self.spec.lease()):
            await asyncio.sleep(every)
            within, asked = min(PING_WITHIN, limit / 2), time.monotonic()
            health = await self._ping(child, within)
            # Capped: when we stood still ourselves, nobody was asked meanwhile.
            waited = every + min(within, time.monotonic() - asked)
            silent = 0.0 if health else silent + waited
            overdue = overdue + 1 if health and health.overdue else 0
            if overdue >= OVERDUE_PINGS:
                return "its event loop is blocked past the deadline of a task"
        return f"frozen: no answer for {silent:.1f} s"

    async def _birth(self, child: Spawned) -> None:
        if self.spec.snapshot is not None:
            await child.feed(self.spec.snapshot(child.birth))
        pause = LOOK_FIRST
        while not ((health := await self._ping(child, PING_WITHIN)) and health.ready):
            await asyncio.sleep(pause)
            pause = min(LOOK_LAST, pause * 1.2)

    async def _ping(self, child: Spawned, within: float) -> Health | None:
        """Ask it; None when it does not answer."""
        try:
            if self.spec.probe is not None:
                async with asyncio.timeout(within):
                    return await self.spec.probe(child.pid)
            return await ask_keeper(child.birth.socket, child.pid, within)
        except (Unreachable, Refused, OSError, TimeoutError):
            return None

    async def _stop_when_asked(self, ctx: Context, child: Spawned) -> str:
        """Have it drain when we stop; return when its time is over."""
        await ctx.stopping.wait()
        child.send(signal.SIGTERM)
        patience = self.spec.stop_timeout + self.spec.grace()
        await asyncio.sleep(patience)
        return f"did not stop in {patience:g} s"

    async def _bury(self, ctx: Context, child: Spawned, reason: str) -> int:
        """See it dead and reaped, then let the others know before a successor starts."""
        if not child.exited.done():
            ctx.emit(ChildKilled(ctx.name, child.pid, reason))
            child.kill()
        await child.exited
        status = child.reap()
        self.pid = None
        if child.said_ready and not self._was_ready:  # it was quicker than our next look
            self._was_ready = True
            ctx.ready()
        code, number = (None, -status) if status < 0 else (status, None)
        ctx.emit(ChildExited(ctx.name, child.pid, code, number, self._was_ready))
        birth = child.birth
        await self._hook(ctx, "on_death", self._on_death(birth.incarnation, child.pid, status))
        return status

    async def _hook(self, ctx: Context, name: str, hook: Awaitable[None]) -> None:
        """A hook's trouble is told; the sweep mends what it left, so life goes on."""
        try:
            async with asyncio.timeout(HOOK_WITHIN):
                await hook
        except Exception as error:  # noqa: BLE001 - it is not ours, and it must not stop a restart
            ctx.emit(HookFailed(ctx.name, name, error))

    def _verdict(self, status: int) -> Exception:
        how = f"exited with {status}" if status >= 0 else f"was killed by signal {-status}"
        if not self._was_ready:
            kind = ChildRefused if status == EXIT_REFUSED else ChildDied
            return kind(f"{self.spec.name} {how} before it was ready")
        if status == EXIT_REPLACE_ME:
            return ReplaceMe(f"{self.spec.name} asked to be replaced")
        return ChildLost(f"{self.spec.name} {how}")


def child_process(
    spec: ProcessSpec,
    on_spawn: OnSpawn = _no_spawn_hook,
    on_death: OnDeath = _no_death_hook,
    restart: Restart = Restart.PERMANENT,
) -> ChildSpec:
    """The child spec of a process: its times leave room for the process's own."""
    return ChildSpec(
        spec.name,
        lambda: ChildProcess(spec, on_spawn, on_death),
        restart=restart,
        ready_timeout=spec.ready_timeout + 2 * HOOK_WITHIN,
        stop_timeout=spec.stop_timeout + 2 * HOOK_WITHIN,
        grace=spec.grace,
        kill_timeout=1.5 * HOOK_WITHIN,
    )


async def ask_keeper(path: Path | None, pid: int, within: float) -> Health:
    """Ping a process's keeper; Unreachable also when another process answers there."""
    if path is None:
        return Health(ready=True)
    answer = await call(path, "ping", within)
    if answer.get("pid") != pid:
        raise Unreachable(f"{path}: another process answers")
    return Health(bool(answer.get("ready")), bool(answer.get("overdue")))


async def to_the_end(work: Awaitable[int]) -> int:
    """Finish what must not be left half done; a cancellation meanwhile is raised after it."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation
    return task.result()
