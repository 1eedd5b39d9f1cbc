"""What the kernel tells arrives as telemetry, all of it."""

from __future__ import annotations

import signal
from typing import get_args

import pytest
from taskhub.kernel import events as k
from taskhub.kernel.process import ChildDied
from taskhub.obs import telemetry as t
from taskhub.obs.kernel import kernel_emit, translate

BUG = KeyError("x")

CASES: list[tuple[k.KernelEvent, list[t.Telemetry]]] = [
    (k.ActorStarted("w/pool", 0), [t.ActorChanged(actor="w/pool", state="started")]),
    (k.ActorReady("w/pool", 0.1), [t.ActorChanged(actor="w/pool", state="ready")]),
    (
        k.ActorRestarting("w/pool", None, 1, 0.5),
        [t.ActorRestarting(actor="w/pool", error="it returned", pause=0.5)],
    ),
    (
        k.ActorRestarting("w/child", BUG, 1, 0.5, counted=False),
        [t.ActorRestarting(actor="w/child", error="KeyError: 'x'", pause=0.5)],
    ),
    (k.ActorGaveUp("w/pool", BUG), [t.ActorGaveUp(actor="w/pool", error="KeyError: 'x'")]),
    (k.ActorStopped("w/pool", None), [t.ActorChanged(actor="w/pool", state="stopped")]),
    (
        k.ActorStopped("w/pool", None, cancelled=True),
        [
            t.ActorUnstopped(actor="w/pool", left=False),
            t.ActorChanged(actor="w/pool", state="stopped"),
        ],
    ),
    (k.ActorUnstopped("w/pool"), [t.ActorUnstopped(actor="w/pool", left=True)]),
    (
        k.ChildSpawned("tree/w", 42, "h/w/n"),
        [t.ProcessChanged(actor="tree/w", pid=42, what="spawned", detail="h/w/n")],
    ),
    (
        k.ChildExited("tree/w", 42, None, signal.SIGKILL, was_ready=True),
        [t.ProcessChanged(actor="tree/w", pid=42, what="exited", detail="signal SIGKILL")],
    ),
    (
        k.ChildExited("tree/w", 42, 3, None, was_ready=False),
        [
            t.ProcessChanged(
                actor="tree/w", pid=42, what="exited", detail="exit code 3, before it was ready"
            )
        ],
    ),
    (
        k.ChildExited("tree/w", 42, None, 40, was_ready=True),
        [t.ProcessChanged(actor="tree/w", pid=42, what="exited", detail="signal 40")],
    ),
    (
        k.ChildKilled("tree/w", 42, "frozen"),
        [t.ProcessChanged(actor="tree/w", pid=42, what="killed", detail="frozen")],
    ),
    (
        k.HookFailed("tree/w", "release", BUG),
        [
            t.HookFailed(
                actor="tree/w",
                hook="release",
                error="KeyError: 'x'",
                trace="KeyError: 'x'\n",
            )
        ],
    ),
    (k.LoopBlocked("w", 1.5, "stack"), [t.LoopBlocked(seconds=1.5, trace="stack")]),
    (k.StacksDumped("tree", "text"), [t.StacksDumped(actor="tree", trace="text")]),
    (
        k.SignalReceived("tree", "SIGTERM", "drain"),
        [t.SignalReceived(actor="tree", signal="SIGTERM", action="drain")],
    ),
]


@pytest.mark.parametrize(("event", "expected"), CASES, ids=lambda case: type(case).__name__)
def test_a_kernel_event_is_translated(event: k.KernelEvent, expected: list[t.Telemetry]) -> None:
    """The kernel knows no telemetry: here it gets its words."""
    heard: list[t.Telemetry] = []

    kernel_emit(heard.append)(event)

    assert heard == expected


def test_no_kernel_event_is_forgotten() -> None:
    """Who adds one says what it means."""
    assert {type(event) for event, _ in CASES} == set(get_args(k.KernelEvent))


def test_how_a_process_ended_is_no_story_of_our_own_stack() -> None:
    """Its own log says why; ours would only say who waited for it."""
    died = k.ActorRestarting("tree/worker-1", ChildDied("worker-1 exited with 2"), 1, 0.0)

    (event,) = translate(died)

    assert isinstance(event, t.ActorRestarting)
    assert (event.error, event.trace) == ("ChildDied: worker-1 exited with 2", "")


def test_a_crash_brings_its_traceback() -> None:
    """A bug is found by its place, not by its name."""
    try:
        raise BUG
    except KeyError as error:
        crash = k.ActorRestarting("w/pool", error, 1, 0.0)

    (event,) = translate(crash)

    assert isinstance(event, t.ActorRestarting)
    assert "test_kernel_events.py" in event.trace
