"""One TaskHub in a folder of its own, everything on: started, asked for its processes, stopped."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Self

import jwt
import msgspec

from benchmarks.load import Target
from taskhub.config.runtime import socket_path
from taskhub.kernel.call import call_blocking

KEY = "a key of the benchmark, 32 bytes long or more"
PATIENCE = 120.0
CONFIGURATION = """
[supervisor]
runtime_directory = "{folder}/run"
[http]
port = {port}
[jwt]
authority = "bench"
audience = "taskhub"
issuer_signing_key = "{key}"
[store]
url = "{store}"
[events]
url = "{events}"
[metrics]
port = 0
[logs]
directory = "{folder}/logs"
level = "info"
[work]
handlers = ["benchmarks.handlers"]
"""


def token() -> str:
    """Good for every server of the benchmark."""
    claims = {"iss": "bench", "aud": "taskhub", "sub": "bench", "scope": "tasks.write tasks.read"}
    return jwt.encode({**claims, "exp": int(time.time()) + 36_000}, KEY, "HS256")


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TaskHub:
    """A unit of TaskHub on its own files; use it as a context manager."""

    def __init__(
        self, folder: Path, unit: str = "tree", events: str = "embedded", store: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.unit = folder, unit
        self.port = free_port()
        self.database = folder / "data" / "taskhub.db"
        self._config = folder / "supervisor.toml"
        self._config.touch(mode=0o600)
        self._config.write_text(
            CONFIGURATION.format(
                folder=folder,
                port=self.port,
                key=KEY,
                events=events,
                store=store or f"sqlite:///{self.database}",
            )
        )
        self._root: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it is ready."""
        notify = self.folder / "notify.sock"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
            ears.bind(str(notify))
            ears.settimeout(PATIENCE)
            self._root = self._spawn(str(notify))
            while b"READY=1" not in ears.recv(4_096):
                pass
        return self

    def _spawn(self, notify: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "taskhub", "run", "--unit", self.unit]
        with (self.folder / "out.log").open("ab") as out:
            return subprocess.Popen(
                [*command, "--config", str(self._config)],
                cwd=self.folder,
                env={**os.environ, "NOTIFY_SOCKET": notify},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def __exit__(self, *_: object) -> None:
        """Stop it, the hard way when it will not."""
        assert self._root is not None
        self._root.terminate()
        try:
            self._root.wait(30)
        except subprocess.TimeoutExpired:
            self._root.kill()
            self._root.wait()

    def target(self, **body: object) -> Target:
        """Where and what to post."""
        text = msgspec.json.encode({"title": "Resize images", **body}).decode()
        return Target(self.port, token(), text)

    def batch(self, count: int, **body: object) -> Target:
        """The same, so many in one request."""
        task = {"title": "Resize images", **body}
        text = msgspec.json.encode({"tasks": [task] * count}).decode()
        return Target(self.port, token(), text, "/tasks/batch")

    def processes(self) -> dict[str, int]:
        """The ids of all processes by name: the root, its units, the event server."""
        name = "tree" if self.unit == "tree" else f"{self.unit}-1"
        rows = call_blocking(socket_path(self.folder / "run", name), "forest")["actors"]
        found = {row["name"].rpartition("/")[2]: row["pid"] for row in rows if row["pid"]}
        return {"root": self.root, **found}

    def kill_worker(self) -> int:
        """SIGKILL; when, in nanoseconds since 1970."""
        pid = self.processes()["worker-1"]
        when = time.time_ns()
        os.kill(pid, signal.SIGKILL)
        return when

    @property
    def root(self) -> int:
        """The id of the process that was started."""
        assert self._root is not None
        return self._root.pid

    # ---- what its rows say ----

    def ask(self, query: str, *values: object) -> list[tuple[int, ...]]:
        """Read the database beside it."""
        return ask(self.database, query, *values)

    def until_done(self, kind: str) -> None:
        """Wait for the end of all tasks of a type that are due."""
        live = "SELECT count(*) FROM Tasks WHERE Type = ? AND RunAt < ? AND Status IN {}"
        query = live.format("('Pending', 'Processing')")
        until_none(self.database, query, kind, time.time_ns() // 1_000)


def ask(database: Path, query: str, *values: object) -> list[tuple[int, ...]]:
    """One query of a reader that disturbs nobody."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def until_none(database: Path, query: str, *values: object) -> None:
    """Wait until a count is zero; ten looks a second."""
    end = time.monotonic() + PATIENCE
    while ask(database, query, *values)[0][0]:
        if time.monotonic() > end:
            raise TimeoutError(query)
        time.sleep(0.1)
