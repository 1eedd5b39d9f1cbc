"""A whole root process: signals, exit codes, systemd, and children that never outlive it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kernel.troupe import PROGRAMS, ROOT, environment, is_gone
from tests.waiting import blocking_until


class Root:
    """A root process that runs, and what it tells."""

    def __init__(self, folder: Path, orders: tuple[str, ...], env: dict[str, str]) -> None:
        command = [sys.executable, "-m", f"{PROGRAMS}.root", str(folder), *orders]
        self.process = subprocess.Popen(
            command, env=environment() | env, cwd=ROOT, stdout=subprocess.PIPE
        )

    def hear(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Read on to the next event of this kind that has these fields."""
        assert self.process.stdout is not None
        heard = []
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            heard.append(event)
            if event["event"] == kind and fields.items() <= event.items():
                return event
        raise AssertionError(f"no {kind} among {heard}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextmanager
def root(folder: Path, *orders: str, **env: str) -> Iterator[Root]:
    """Run a root; it is killed at the end if it still lives."""
    running = Root(folder, orders, env)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()  # not read to its end: an orphan would hold it open


@pytest.mark.parametrize("order", ["", "slow"])
def test_no_child_outlives_its_root_not_even_after_kill_9(tmp_path: Path, order: str) -> None:
    """An orphan would go on with tasks that others have taken over."""
    with root(tmp_path, order) as running:
        child = running.hear("ChildSpawned")["pid"]
        running.hear("ActorReady")

        running.send(signal.SIGKILL)

        assert is_gone(child)


def test_a_foreign_program_does_not_outlive_its_root_either(tmp_path: Path) -> None:
    """An embedded server knows nothing of lifelines: it is tied before it begins."""
    with root(tmp_path, "foreign") as running:
        child = running.hear("ChildSpawned")["pid"]
        blocking_until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")

        running.send(signal.SIGKILL)

        assert is_gone(child)


def test_a_frozen_child_dies_with_its_root_too(tmp_path: Path) -> None:
    """A stopped process cannot see that its lifeline ends: the kernel kills it."""
    with root(tmp_path) as running:
        child = running.hear("ChildSpawned")["pid"]
        running.hear("ActorReady")
        os.kill(child, signal.SIGSTOP)
        blocking_until(lambda: "State:\tT" in Path(f"/proc/{child}/status").read_text())

        running.send(signal.SIGKILL)

        assert is_gone(child)


def test_a_child_that_is_still_starting_dies_with_its_root(tmp_path: Path) -> None:
    """The lifeline catches what the kernel was not yet asked to do."""
    with root(tmp_path) as running:
        child = running.hear("ChildSpawned")["pid"]

        running.send(signal.SIGKILL)

        assert is_gone(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_signal_drains_the_tree_and_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    """Also a terminal that is closed, where there is nothing to reload."""
    with root(tmp_path) as running:
        child = running.hear("ChildSpawned")["pid"]
        running.hear("ActorReady")

        running.send(number)

        assert running.hear("SignalReceived")["action"] == "drain"
        assert running.hear("ChildExited")["code"] == 0
        assert running.process.wait(20) == 0
        assert is_gone(child, within=0)


def test_a_second_stop_signal_stops_now(tmp_path: Path) -> None:
    """Who asks twice does not wait for a slow child."""
    with root(tmp_path, "slow") as running:
        running.hear("ActorReady")
        running.send(signal.SIGTERM)
        running.hear("SignalReceived", action="drain")

        running.send(signal.SIGTERM)

        running.hear("SignalReceived", action="stop now")
        assert running.hear("ChildExited")["signal"] == signal.SIGKILL
        assert running.process.wait(20) == 0


def test_escalation_exits_70(tmp_path: Path) -> None:
    """The end of the chain: systemd sees a failure and decides."""
    with root(tmp_path, "fails") as running:
        assert running.hear("ActorGaveUp")["name"] == "root/fails"
        assert running.process.wait(20) == 70


def test_a_hangup_reloads_and_a_failed_reload_changes_nothing(tmp_path: Path) -> None:
    """A wrong configuration is told; the old one goes on."""
    with root(tmp_path, "reloads") as running:
        running.hear("ActorReady")
        running.send(signal.SIGHUP)
        running.hear("Reloading")
        running.send(signal.SIGHUP)

        assert "a bad file" in running.hear("HookFailed", hook="on_hangup")["error"]

        running.send(signal.SIGTERM)
        running.hear("ChildExited", code=0)


def test_usr1_tells_all_stacks(tmp_path: Path) -> None:
    """What everybody waits for is one signal away."""
    with root(tmp_path) as running:
        running.hear("ActorReady")

        running.send(signal.SIGUSR1)

        assert "task root/unit" in running.hear("StacksDumped")["text"]


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_of_start_reload_life_and_stop(tmp_path: Path, abstract: bool) -> None:
    """Type=notify with a watchdog; older systemd needs READY after a reload."""
    name = f"@taskhub-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(20)
        systemd.bind(name.replace("@", "\0"))
        with root(tmp_path, "reloads", NOTIFY_SOCKET=name, WATCHDOG_USEC="200000") as running:
            heard = []

            def hear(word: str) -> str:
                while word not in (said := systemd.recv(4096).decode()):
                    heard.append(said)
                return said

            hear("READY=1")
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            running.send(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hear("RELOADING=1")
            hear("READY=1")
            running.send(signal.SIGTERM)
            hear("STOPPING=1")
            assert running.process.wait(20) == 0

    assert set(heard) <= {"WATCHDOG=1"}
