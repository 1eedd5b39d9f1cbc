"""Translates what the kernel tells (it knows no telemetry) into telemetry events."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable

from taskhub.kernel import events as k
from taskhub.kernel.process import ChildDied
from taskhub.obs import telemetry as t
from taskhub.obs.telemetry import Emit, Telemetry


def kernel_emit(emit: Emit) -> k.Emit:
    """An `emit` for the kernel that hands its events on, translated."""

    def hand_on(event: k.KernelEvent) -> None:
        for translated in translate(event):
            emit(translated)

    return hand_on


def translate(event: k.KernelEvent) -> tuple[Telemetry, ...]:
    """The telemetry of one kernel event; an unknown kind is a bug here and raises KeyError."""
    return _TRANSLATIONS[type(event)](event)


def _started(event: k.ActorStarted) -> tuple[Telemetry, ...]:
    return (t.ActorChanged(actor=event.name, state="started"),)


def _ready(event: k.ActorReady) -> tuple[Telemetry, ...]:
    return (t.ActorChanged(actor=event.name, state="ready"),)


def _restarting(event: k.ActorRestarting) -> tuple[Telemetry, ...]:
    died = isinstance(event.error, ChildDied)
    return (
        t.ActorRestarting(
            actor=event.name,
            error=_said(event.error),
            # how a child process ended is no story that our own stack could tell
            trace=_trace(event.error) if event.counted and not died else "",
            pause=event.pause,
        ),
    )


def _gave_up(event: k.ActorGaveUp) -> tuple[Telemetry, ...]:
    return (t.ActorGaveUp(actor=event.name, error=_said(event.error)),)


def _stopped(event: k.ActorStopped) -> tuple[Telemetry, ...]:
    changed = t.ActorChanged(actor=event.name, state="stopped")
    if event.cancelled:
        return t.ActorUnstopped(actor=event.name, left=False), changed
    return (changed,)


def _unstopped(event: k.ActorUnstopped) -> tuple[Telemetry, ...]:
    return (t.ActorUnstopped(actor=event.name, left=True),)


def _spawned(event: k.ChildSpawned) -> tuple[Telemetry, ...]:
    changed = t.ProcessChanged(
        actor=event.name, pid=event.pid, what="spawned", detail=event.incarnation
    )
    return (changed,)


def _exited(event: k.ChildExited) -> tuple[Telemetry, ...]:
    how = f"signal {_signal(event.signal)}" if event.signal else f"exit code {event.code}"
    detail = how if event.was_ready else f"{how}, before it was ready"
    return (t.ProcessChanged(actor=event.name, pid=event.pid, what="exited", detail=detail),)


def _killed(event: k.ChildKilled) -> tuple[Telemetry, ...]:
    return (t.ProcessChanged(actor=event.name, pid=event.pid, what="killed", detail=event.reason),)


def _hook_failed(event: k.HookFailed) -> tuple[Telemetry, ...]:
    return (
        t.HookFailed(
            actor=event.name,
            hook=event.hook,
            error=_said(event.error),
            trace=_trace(event.error),
        ),
    )


def _blocked(event: k.LoopBlocked) -> tuple[Telemetry, ...]:
    type_, task_id = event.doing
    blocked = t.LoopBlocked(seconds=event.seconds, trace=event.stack, type=type_, task_id=task_id)
    return (blocked,)


def _signalled(event: k.SignalReceived) -> tuple[Telemetry, ...]:
    return (t.SignalReceived(actor=event.name, signal=event.signal, action=event.action),)


def _dumped(event: k.StacksDumped) -> tuple[Telemetry, ...]:
    return (t.StacksDumped(actor=event.name, trace=event.text),)


_TRANSLATIONS: dict[type[object], Callable[..., tuple[Telemetry, ...]]] = {
    k.ActorStarted: _started,
    k.ActorReady: _ready,
    k.ActorRestarting: _restarting,
    k.ActorGaveUp: _gave_up,
    k.ActorStopped: _stopped,
    k.ActorUnstopped: _unstopped,
    k.ChildSpawned: _spawned,
    k.ChildExited: _exited,
    k.ChildKilled: _killed,
    k.HookFailed: _hook_failed,
    k.LoopBlocked: _blocked,
    k.SignalReceived: _signalled,
    k.StacksDumped: _dumped,
}


def _said(error: BaseException | None) -> str:
    if error is None:
        return "it returned"
    return f"{type(error).__name__}: {error}"


def _trace(error: BaseException | None) -> str:
    return "" if error is None else "".join(traceback.format_exception(error))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has a number only
        return str(number)
