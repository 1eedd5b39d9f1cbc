"""The lifeline alone: a child ends with it even while its parent still lives."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskhub.kernel.call import Unreachable, call_blocking
from taskhub.kernel.lifeline import frame
from taskhub.kernel.process import Birth

from tests.unit.kernel.troupe import ROOT, environment, is_gone, unit_argv
from tests.waiting import blocking_until

ATTACH = "import sys; from taskhub.kernel.lifeline import attach; attach(int(sys.argv[1]))"


@contextmanager
def lifeline() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the child's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def start(command: list[str], fd: int) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that inherits one file."""
    return subprocess.Popen(
        command,
        pass_fds=[fd],
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
        stderr=subprocess.PIPE,
    )


def answers(path: Path) -> bool:
    """Whether somebody serves that socket."""
    try:
        return bool(call_blocking(path, "ping"))
    except Unreachable:
        return False


def test_the_end_of_the_line_ends_the_child_and_what_it_has_started(tmp_path: Path) -> None:
    """It needs no signal from anybody, so it also works where the kernel's is too late."""
    path = tmp_path / "unit.sock"
    with lifeline() as (ours, theirs):
        child = start(unit_argv(Birth("one", theirs.fileno(), path)), theirs.fileno())
        ours.sendall(frame(b"snapshot"))
        blocking_until(lambda: answers(path))
        grandchild = call_blocking(path, "fork")["pid"]

    assert is_gone(grandchild)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


def test_a_snapshot_of_any_size_arrives_whole(tmp_path: Path) -> None:
    """A configuration may be larger than what a socket holds."""
    path, snapshot = tmp_path / "unit.sock", b"x" * 1_000_000
    with lifeline() as (ours, theirs):
        child = start(unit_argv(Birth("one", theirs.fileno(), path)), theirs.fileno())
        ours.sendall(frame(snapshot))
        blocking_until(lambda: answers(path))

        assert call_blocking(path, "facts")["snapshot"] == snapshot.decode()
    child.communicate()


@pytest.mark.parametrize(
    ("said", "wrapper", "why"),
    [
        (b"\0\0", [], "the lifeline ended"),
        (frame(b"snapshot"), ["sh", "-c", '"$@" & wait $!', "sh"], "has gone"),
    ],
    ids=["cut", "other parent"],
)
def test_a_child_whose_parent_has_gone_does_not_start(
    said: bytes, wrapper: list[str], why: str
) -> None:
    """Between fork and the first line of the program the parent may have died."""
    with lifeline() as (ours, theirs):
        command = [*wrapper, sys.executable, "-c", ATTACH, str(theirs.fileno())]
        child = start(command, theirs.fileno())
        ours.sendall(said)
        ours.shutdown(socket.SHUT_WR)
        _, errors = child.communicate()

    assert child.returncode == 1
    assert why in errors.decode()
