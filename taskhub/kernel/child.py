"""One child of a supervisor: its spec, its present run, what is asked of it; it decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from taskhub.kernel.actor import Context
from taskhub.kernel.events import ActorReady, Emit, ignore
from taskhub.kernel.mailbox import ActorFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.kernel.actor import Actor, ChildSpec


class State(StrEnum):
    """Where an actor stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ActorState:
    """One row of an actor tree. `uptime` in seconds; `mailbox_limit` is 0 without a mailbox."""

    name: str
    state: State
    uptime: float
    restarts: int
    mailbox_depth: int = 0
    mailbox_limit: int = 0
    mailbox_posted: int = 0
    mailbox_refused: int = 0
    last_error: str | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an actor: its context, its task, and the two things that may happen to it."""

    ctx: Context
    task: asyncio.Task[None]
    is_ready: asyncio.Future[None]
    called: asyncio.Future[None]

    async def watch(self, ready_timeout: float) -> bool:
        """Wait until it ends or is called off; False when it is not ready in time."""
        first = asyncio.FIRST_COMPLETED
        waits = {self.task, self.called, self.is_ready}
        done, _ = await asyncio.wait(waits, timeout=ready_timeout, return_when=first)
        if self.is_ready in done:
            await asyncio.wait({self.task, self.called}, return_when=first)
        return bool(done)


def path(above: str, name: str) -> str:
    """The full name of an actor: `worker-1/pool`."""
    return f"{above}/{name}" if above else name


class Child:
    """What a supervisor knows of one child."""

    def __init__(self, spec: ChildSpec, above: str = "", emit: Emit = ignore) -> None:
        """Make a child that has not been started."""
        self.spec, self.name, self.emit = spec, path(above, spec.name), emit
        self.state = State.STOPPED
        self.actor: Actor | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.settled = asyncio.Event()  # it is ready, or it has ended for good
        self.deaths: deque[float] = deque()
        self.restarts, self.since = -1, 0.0
        self.error: BaseException | None = None  # of the present run
        self.last_error: str | None = None  # of any run
        self.leaving = self.was_cancelled = False
        self._run: Run | None = None
        self._time: Callable[[], float] = time.monotonic  # its loop's, once it has one

    @property
    def was_called(self) -> bool:
        """Whether the present run is asked to end, for a restart or for good."""
        return self._run is not None and self._run.called.done()

    def call(self, *, leave: bool) -> None:
        """Ask the keeper to end the present run: for good (`leave`), or to start anew."""
        self.leaving = self.leaving or leave
        if self._run is not None and not self._run.called.done():
            self._run.called.set_result(None)

    def start(self) -> Run:
        """Begin a run with fresh state and the old mailbox."""
        loop = asyncio.get_running_loop()
        ctx = Context(self.name, self.emit, lambda: self._is_ready(run))
        task = loop.create_task(self._body(ctx), name=self.name)
        run = self._run = Run(ctx, task, loop.create_future(), loop.create_future())
        self._time = loop.time
        self.state, self.since, self.error = State.STARTING, loop.time(), None
        self.was_cancelled = False
        self.restarts += 1
        if self.spec.inbox is not None:
            self.spec.inbox.reopen()
        return run

    async def rest(self, seconds: float) -> None:
        """Wait before the next start; a call cuts it short."""
        self.state = State.RESTARTING
        if self._run is not None:
            await asyncio.wait({self._run.called}, timeout=seconds)

    def ask_to_stop(self, run: Run) -> None:
        """Tell the run, and who waits at its mailbox."""
        run.ctx.stopping.set()
        if self.spec.inbox is not None:
            (self.spec.inbox.close if self.leaving else self.spec.inbox.hold)()

    def note(self, error: BaseException | None) -> None:
        """Keep how the present run has failed."""
        self.error = error
        if error is not None:
            self.last_error = f"{type(error).__name__}: {error}"

    def end(self) -> None:
        """It has ended for good: nobody waits for it any more."""
        self.state = State.STOPPED
        self.settled.set()
        if self.spec.inbox is not None:
            self.spec.inbox.close()
            self.spec.inbox.abandon()

    def snapshot(self) -> ActorState:
        """Its row in the tree; also for other threads."""
        box = self.spec.inbox
        up = self.state in {State.STARTING, State.READY}
        return ActorState(
            name=self.name,
            state=self.state,
            uptime=self._time() - self.since if up else 0.0,
            restarts=max(self.restarts, 0),
            mailbox_depth=0 if box is None else len(box),
            mailbox_limit=0 if box is None else box.limit,
            mailbox_posted=0 if box is None else box.posted,
            mailbox_refused=0 if box is None else box.refused,
            last_error=self.last_error,
            pid=getattr(self.actor, "pid", None),
        )

    async def _body(self, ctx: Context) -> None:
        try:
            self.actor = self.spec.build()
            await self.actor.run(ctx)
        except SystemExit as error:  # would tear the loop down under everybody's feet
            raise ActorFailed(f"it called exit({error.code})") from error

    def _is_ready(self, run: Run) -> None:
        if run is not self._run or run.is_ready.done():
            return  # an old run that was left behind
        run.is_ready.set_result(None)
        self.state = State.READY
        self.settled.set()
        self.emit(ActorReady(self.name, self._time() - self.since))


def outcome(run: asyncio.Task[None], *, cancelled_by_us: bool) -> BaseException | None:
    """How a run failed; None when it just ended, or when it ended through our cancellation."""
    if not run.done():
        return None
    with suppress(asyncio.CancelledError):
        return run.exception()
    return None if cancelled_by_us else asyncio.CancelledError("a stranger's cancellation")
