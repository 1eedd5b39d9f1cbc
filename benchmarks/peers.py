"""The processes that TaskHub is compared with: a bare endpoint, the usual stack, arq alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.event_server import EventServer
from benchmarks.installation import KEY, free_port, token
from benchmarks.load import Target
from benchmarks.prepare import PYTHON, ROOT

PATIENCE = 30.0
LOG = ROOT / "benchmarks" / "results" / "peers.log"
BODY = '{"title":"Resize images","type":"noop"}'


@contextmanager
def bare_endpoint() -> Iterator[Target]:
    """A server of aiohttp on uvloop, answering a constant as long as a task."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as sock:
        command = [sys.executable, "-m", "benchmarks.http", "--serve", "bare", str(sock.fileno())]
        with _running(command, {}, pass_fds=[sock.fileno()]):
            port = sock.getsockname()[1]
            yield Target(port, token(), BODY)


class Stack:
    """FastAPI in one uvicorn, an arq worker unless told otherwise, on one SQLite file."""

    def __init__(self, folder: Path, server: EventServer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database, self._port = folder / "stack.db", free_port()
        self.environ = _environ(server, self.database)
        self.target = Target(self._port, token(), BODY)

    @contextmanager
    def api(self) -> Iterator[int]:
        """One uvicorn with its fastest parts; its process id."""
        command = [PYTHON, "-m", "uvicorn", "benchmarks.stack.api:app", "--port", self._port]
        command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        with _running([*map(str, command), "--log-level", "warning"], self.environ) as pid:
            _until_open(self._port)
            yield pid

    @contextmanager
    def worker(self) -> Iterator[int]:
        """One arq worker; its process id."""
        with arq_worker("benchmarks.stack.worker.Stack", self.environ) as pid:
            yield pid


@contextmanager
def arq_worker(settings: str, environ: dict[str, str]) -> Iterator[int]:
    """The worker as arq's own command line runs it, two log lines a job included."""
    command = [str(PYTHON), "-W", "ignore", "-m", "arq", settings]
    with _running(command, environ, end=signal.SIGKILL) as pid:  # it may be in the middle of jobs
        yield pid


def arq_alone(act: str, count: int, server: EventServer) -> list[float]:
    """One act of benchmarks/stack/alone.py."""
    command = [str(PYTHON), "-m", "benchmarks.stack.alone", act, str(count)]
    environ = {**os.environ, **_environ(server)}
    answer = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(answer.stdout, type=list[float])


@contextmanager
def arq_alone_worker(server: EventServer) -> Iterator[int]:
    """The worker of those acts."""
    with arq_worker("benchmarks.stack.alone.Alone", _environ(server)) as pid:
        yield pid


def _environ(server: EventServer, database: Path | None = None) -> dict[str, str]:
    return {"STACK_REDIS": str(server.socket), "STACK_DB": str(database or ""), "STACK_KEY": KEY}


@contextmanager
def _running(
    command: Sequence[str],
    environ: dict[str, str],
    pass_fds: Sequence[int] = (),
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[int]:
    """A process that is gone afterwards; what it said is in results/peers.log."""
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environ},
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        process.send_signal(end)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_open(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nobody listens on {port}")
