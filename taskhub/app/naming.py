"""What a process is called on its runtime directory, held by a lock so that nobody else is."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from taskhub.config.runtime import socket_path
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.kernel.call import Unreachable, call_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALONE = frozenset({"tree", "all"})
"""Units of which one installation runs one process: it has no number."""


@contextmanager
def named(runtime: Path, unit: str) -> Iterator[str]:
    """The name of this process until it ends: `tree`, or the first `worker-N` that is free.

    Two that start at the same moment get two names. Raises ConfigError where the one process of
    such a name runs already: a second root would take the sockets of the first one's children.
    """
    name, lock = _alone(runtime, unit) if unit in ALONE else _numbered(runtime, unit)
    try:
        yield name
    finally:
        os.close(lock)


def _alone(runtime: Path, unit: str) -> tuple[str, int]:
    lock = _locked(runtime, unit)
    if lock is None:
        wanted = f"another {unit} runs here already; expected a folder of its own, not {runtime}"
        raise ConfigError([ConfigProblem("supervisor.runtime_directory", wanted)])
    return unit, lock


def _numbered(runtime: Path, unit: str) -> tuple[str, int]:
    for number in count(1):
        name = f"{unit}-{number}"
        lock = _locked(runtime, name)
        if lock is None:
            continue
        if not _answers(socket_path(runtime, name)):
            return name, lock
        os.close(lock)  # a child of a tree: its root named it
    raise AssertionError("there are more numbers")


def _locked(runtime: Path, name: str) -> int | None:
    """A descriptor that holds the name as long as this process lives; None: it is taken."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(runtime / f"{name}.name", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _answers(path: Path) -> bool:
    try:
        call_blocking(path, "ping", 1.0)
    except Unreachable:
        return False
    return True
