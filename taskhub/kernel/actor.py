"""What an actor is, what it is given, and the data that says how to keep it alive."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from taskhub.kernel.events import Emit, ignore

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.kernel.mailbox import Mailbox


class ExpectedExit(Exception):
    """An actor ended through nobody's bug (a child process that user code killed).

    Its supervisor restarts it with a pause of at most `RestartLimit.cap` and never counts it.
    """


class Hopeless(Exception):
    """An actor cannot run until somebody mends something: trying again would only say it again.

    While its supervisor starts, that gives up at once, and the process exits with `code`. Later
    the actor is one that fails: what worked once may work again.
    """

    code = 2


class Context:
    """What an actor is given: its full name (`worker-1/pool`), its stop flag, `ready()`."""

    __slots__ = ("_on_ready", "emit", "is_ready", "name", "stopping")

    def __init__(
        self, name: str, emit: Emit = ignore, on_ready: Callable[[], None] | None = None
    ) -> None:
        """Make a fresh context; `on_ready` is called at the first `ready()`."""
        self.name, self.emit = name, emit
        self.stopping = asyncio.Event()
        self.is_ready = asyncio.Event()
        self._on_ready = on_ready

    def ready(self) -> None:
        """Say that the actor can serve; further calls change nothing."""
        if self.is_ready.is_set():
            return
        self.is_ready.set()
        if self._on_ready is not None:
            self._on_ready()

    async def pause(self, seconds: float) -> bool:
        """Sleep; True when a stop was asked for meanwhile (or before)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
                await self.stopping.wait()
        return self.stopping.is_set()


class Actor(Protocol):
    """One coroutine: call `ctx.ready()` once you can serve, return soon after `ctx.stopping`,
    raise when you cannot go on, keep nothing outside yourself.
    """

    async def run(self, ctx: Context) -> None:
        """Live until stopped."""


class Restart(StrEnum):
    """When an actor that ended on its own is started again (OTP's words)."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """When it failed."""
    TEMPORARY = "temporary"
    """Never."""

    def wants(self, *, failed: bool) -> bool:
        """Whether an actor that ended so is started again."""
        return self is Restart.PERMANENT or (self is Restart.TRANSIENT and failed)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to make and keep one actor; times in seconds.

    `build` makes fresh state at each restart; `inbox` survives them all. A run that is not
    ready within `ready_timeout` has failed. At a stop the actor has `stop_timeout` to end by
    itself, and `grace` beyond it (asked when the stop comes, so that a reload may change it),
    then `kill_timeout` to end after its cancellation. Neighbours of one `group` are stopped at the
    same time: their stop times must not add up.
    """

    name: str
    build: Callable[[], Actor]
    inbox: Mailbox[Any] | None = None
    restart: Restart = Restart.PERMANENT
    ready_timeout: float = 10.0
    stop_timeout: float = 15.0
    grace: Callable[[], float] = lambda: 0.0
    kill_timeout: float = 2.0
    group: str = ""


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """At most `intensity` restarts of one supervisor's children within `period` seconds (OTP).

    A child's first restart is at once; its next pauses double from `base` to `cap`, each cut
    by up to `jitter` of itself at random, so that many children do not restart in step.
    """

    intensity: int = 5
    period: float = 30.0
    base: float = 0.05
    cap: float = 5.0
    jitter: float = 0.5

    def pause(self, deaths: int, chance: float) -> float:
        """Seconds to wait after so many recent deaths of one child; `chance` is in 0..1."""
        if deaths <= 1:
            return 0.0
        doublings = min(deaths - 2, 64)  # past this the cap holds anyway, and floats end
        return min(self.cap, self.base * 2.0**doublings) * (1.0 - self.jitter * chance)
