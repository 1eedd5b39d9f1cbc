"""Keeps actors alive: starts, watches, restarts, gives up, stops; knows nothing of their work."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

from taskhub.kernel.actor import ExpectedExit, Hopeless, RestartLimit
from taskhub.kernel.child import ActorState, Child, Run, State, outcome
from taskhub.kernel.events import (
    ActorGaveUp,
    ActorRestarting,
    ActorStarted,
    ActorStopped,
    ActorUnstopped,
    Emit,
)
from taskhub.kernel.mailbox import ActorFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.kernel.actor import ChildSpec, Context


class RestartLimitExceeded(Exception):
    """A child died too often; its supervisor gives up and dies in turn."""


class NotReady(Exception):
    """An actor was not ready in time: it is stuck where it starts."""


class NoSuchActor(Exception):
    """There is no running actor of that name here."""


class Supervisor:
    """one_for_one; an Actor itself, so that a tree needs no second concept.

    `limit` may be replaced while it runs. `emit` is its context's when it is not given.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        limit: RestartLimit | None = None,
        emit: Emit | None = None,
    ) -> None:
        """Take the children in the order of their start."""
        if len({spec.name for spec in children}) < len(children):
            raise ValueError("two actors of one supervisor have the same name")
        self.limit = limit or RestartLimit()
        self._specs, self._emit = tuple(children), emit
        self._children = [Child(spec) for spec in children]
        self._strikes: deque[float] = deque()
        self._gave_up = asyncio.Event()
        self._has_started = False
        self._culprit: tuple[str, BaseException | None] = ("", None)

    async def run(self, ctx: Context) -> None:
        """Start the children one after another, keep them, stop them in reverse order."""
        emit = self._emit or ctx.emit
        self._children = [Child(spec, ctx.name, emit) for spec in self._specs]
        try:
            await self._start_all(ctx)
            await first_of(ctx.stopping, self._gave_up)
            await self._stop_all(hurry=False)
        except BaseException:  # patience has run out: nobody gets time to drain any more
            await self._stop_all(hurry=True)
            raise
        if self._gave_up.is_set():
            name, error = self._culprit
            raise RestartLimitExceeded(name) from error

    def tree(self) -> list[ActorState]:
        """What every actor below does now, in the order of start, groups before their members.

        Any thread may ask: a blocked loop does not hide its actors.
        """
        rows = []
        for child in self._children:
            rows.append(child.snapshot())
            if isinstance(child.actor, Supervisor):
                rows += child.actor.tree()
        return rows

    async def restart(self, name: str) -> None:
        """Stop and start one actor, by full or short name; return when it is ready.

        Its mailbox stays open meanwhile and no strike is counted. Raises NoSuchActor, or
        ActorFailed when the new run has ended. Who runs inside that very actor uses
        `ask_restart`: waiting for its own end would hold it up.
        """
        child = self.ask_restart(name)
        await child.settled.wait()
        if child.state is not State.READY:
            raise ActorFailed(child.last_error or f"{child.name} was stopped")

    def ask_restart(self, name: str) -> Child:
        """Have one actor stopped and started, without waiting; raises NoSuchActor."""
        owner, child = self._find(name)
        if child.keeper is None or child.leaving:
            raise NoSuchActor(name)
        child.settled.clear()
        if child.keeper.done():
            owner._begin(child)  # noqa: SLF001 - a supervisor below, of this very class
        else:
            child.call(leave=False)
        return child

    def _find(self, name: str) -> tuple[Supervisor, Child]:
        for owner, child in self._everybody():
            if name in {child.name, child.spec.name}:
                return owner, child
        raise NoSuchActor(name)

    def _everybody(self) -> list[tuple[Supervisor, Child]]:
        """All actors below, our own children first."""
        found = [(self, child) for child in self._children]
        for child in self._children:
            if isinstance(child.actor, Supervisor):
                found += child.actor._everybody()  # noqa: SLF001 - of this very class
        return found

    async def _start_all(self, ctx: Context) -> None:
        for child in self._children:
            self._begin(child)
            await first_of(child.settled, self._gave_up, ctx.stopping)
            if self._gave_up.is_set() or ctx.stopping.is_set():
                return
        self._has_started = True
        ctx.ready()

    def _begin(self, child: Child) -> None:
        child.keeper = asyncio.create_task(self._keep(child), name=f"keeper of {child.name}")

    async def _stop_all(self, *, hurry: bool) -> None:
        for group in abreast(self._children):
            keepers = [keeper for child in group if (keeper := _dismissed(child, hurry=hurry))]
            if keepers:
                await asyncio.wait(keepers)

    async def _keep(self, child: Child) -> None:
        """One child's life, from its first start to its end for good."""
        try:
            await self._live(child)
            while not child.leaving and await self._again(child):
                await self._live(child)
        except Exception as error:  # noqa: BLE001 - also of our own: no child without a keeper
            self._give_up(child, error)
        except asyncio.CancelledError as error:
            if not child.leaving:
                self._give_up(child, error)
            raise
        finally:
            child.end()
            child.emit(ActorStopped(child.name, child.error, child.was_cancelled))

    async def _again(self, child: Child) -> bool:
        """Decide whether a child that has ended runs again."""
        if child.was_called:
            return True
        if not child.spec.restart.wants(failed=child.error is not None):
            return False
        pause = None if self._is_hopeless(child) else self._judge(child)
        if pause is None:
            self._give_up(child, child.error)
            return False
        await child.rest(pause)
        return not child.leaving

    def _is_hopeless(self, child: Child) -> bool:
        return isinstance(child.error, Hopeless) and not self._has_started

    def _judge(self, child: Child) -> float | None:
        """The pause before the next start, or None when the limit is exceeded."""
        now = asyncio.get_running_loop().time()
        counted = not isinstance(child.error, ExpectedExit)
        if counted:
            self._strikes.append(now)
        child.deaths.append(now)
        for times in (self._strikes, child.deaths):
            forget(times, now - self.limit.period)
        if counted and len(self._strikes) > self.limit.intensity:
            return None
        pause = self.limit.pause(len(child.deaths), random.random())  # noqa: S311 - jitter is no key
        strikes = len(self._strikes)
        child.emit(ActorRestarting(child.name, child.error, strikes, pause, counted))
        return pause

    def _give_up(self, child: Child, error: BaseException | None) -> None:
        child.emit(ActorGaveUp(child.name, error))
        self._culprit = (child.name, error)
        self._gave_up.set()

    async def _live(self, child: Child) -> None:
        """One run of a child, from its build to its end."""
        run = child.start()
        child.emit(ActorStarted(child.name, child.restarts))
        try:
            in_time = await run.watch(child.spec.ready_timeout)
            patience = child.spec.stop_timeout + child.spec.grace() if in_time else 0.0
            await self._end(child, run, patience)
        except asyncio.CancelledError:
            await self._end(child, run, 0.0)
            raise
        if not in_time:
            child.note(NotReady(f"{child.name} was not ready in {child.spec.ready_timeout:g} s"))

    async def _end(self, child: Child, run: Run, patience: float) -> None:
        """Ask, wait, cancel, wait, report; a run that has ended is only read."""
        task = run.task
        if not task.done():
            child.ask_to_stop(run)
            if patience:
                await asyncio.wait({task}, timeout=patience)
        if not task.done():
            child.was_cancelled = True
            task.cancel()
            await asyncio.wait({task}, timeout=child.spec.kill_timeout)
        child.note(outcome(task, cancelled_by_us=child.was_cancelled))
        if not task.done():
            child.emit(ActorUnstopped(child.name))
            if not child.leaving:  # a successor would share its mailbox and its world with it
                raise ActorFailed(f"{child.name} ignores its cancellation")


def abreast(children: Sequence[Child]) -> list[list[Child]]:
    """Who is stopped at the same time, in the order of stops: the last ones first."""
    groups: list[list[Child]] = []
    for child in reversed(children):
        group = child.spec.group
        if groups and group and groups[-1][0].spec.group == group:
            groups[-1].append(child)
        else:
            groups.append([child])
    return groups


def _dismissed(child: Child, *, hurry: bool) -> asyncio.Task[None] | None:
    """Ask a child to leave for good; whom to wait for, if it ever was started."""
    if child.keeper is None:
        child.end()  # its mailbox may hold asks
        return None
    child.call(leave=True)
    if hurry:
        child.keeper.cancel()
    return child.keeper


def forget(times: deque[float], before: float) -> None:
    """Drop what is too long ago."""
    while times and times[0] < before:
        times.popleft()


async def first_of(*events: asyncio.Event) -> None:
    """Return when one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
