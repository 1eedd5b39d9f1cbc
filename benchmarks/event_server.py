"""An event server without persistence, like TaskHub's own, for those who bring none."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskhub.events.embedded_place import find_server

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class EventServer:
    """A running server: where it listens, and its process."""

    socket: Path
    pid: int


@contextmanager
def event_server(folder: Path) -> Iterator[EventServer]:
    """A server without persistence, like the embedded one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "redis.sock"
    options = {"port": "0", "unixsocket": str(path), "save": "", "appendonly": "no"}
    command = [str(find_server())]
    for name, value in options.items():
        command += [f"--{name}", value]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            _until_listening(path)
            yield EventServer(path, server.pid)
        finally:
            server.terminate()


def _until_listening(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                time.sleep(0.02)
            else:
                return
    raise TimeoutError(str(path))
