"""What the kernel tells the world: frozen facts handed to `emit`; it knows no log and no metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActorStarted:
    """An actor begins to run; `restarts` counts the runs before this one."""

    name: str
    restarts: int


@dataclass(frozen=True, slots=True)
class ActorReady:
    """An actor can serve, `seconds` after it began."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ActorRestarting:
    """An actor ended on its own and runs again after `pause` seconds.

    `error` is None when it just returned; `strikes` is how many of its supervisor's allowed
    restarts are used up; `counted` is False for ends that are nobody's bug.
    """

    name: str
    error: BaseException | None
    strikes: int
    pause: float
    counted: bool = True


@dataclass(frozen=True, slots=True)
class ActorGaveUp:
    """An actor died too often: its supervisor stops its other children and fails in turn."""

    name: str
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class ActorStopped:
    """An actor has ended for good; `cancelled` when it did not end within its stop time."""

    name: str
    error: BaseException | None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class ActorUnstopped:
    """An actor ignores its cancellation and is left behind."""

    name: str


@dataclass(frozen=True, slots=True)
class ChildSpawned:
    """A child process was started."""

    name: str
    pid: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class ChildExited:
    """A child process was reaped: `code` if it exited, `signal` if it was killed."""

    name: str
    pid: int
    code: int | None
    signal: int | None
    was_ready: bool


@dataclass(frozen=True, slots=True)
class ChildKilled:
    """We kill a child process, and why (frozen, blocked past a deadline, would not stop)."""

    name: str
    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A hook of a child process raised or took too long; the child's life goes on."""

    name: str
    hook: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class LoopBlocked:
    """The event loop has not turned for `seconds`; `stack` names the culprit.

    `doing` is what kind of work it is at, and which one, if its process knows. Emitted once per
    block, from the keeper's thread: the loop cannot say it itself.
    """

    name: str
    seconds: float
    stack: str
    doing: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """The process got a signal; `action` is what it does about it (drain, stop, reload...)."""

    name: str
    signal: str
    action: str


@dataclass(frozen=True, slots=True)
class StacksDumped:
    """What every task and thread does, asked for by SIGUSR1."""

    name: str
    text: str


KernelEvent = (
    ActorStarted
    | ActorReady
    | ActorRestarting
    | ActorGaveUp
    | ActorStopped
    | ActorUnstopped
    | ChildSpawned
    | ChildExited
    | ChildKilled
    | HookFailed
    | LoopBlocked
    | SignalReceived
    | StacksDumped
)
Emit = Callable[[KernelEvent], None]


def ignore(event: KernelEvent, /) -> None:
    """Listen to nothing (the default of every `emit`)."""
    del event
