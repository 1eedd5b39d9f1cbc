"""Loads a server with new tasks by wrk, a small C program that takes little of the CPU."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec

SCRIPT = Path(__file__).with_name("wrk.lua")
PATIENCE = 120  # seconds within which a counted load must have ended


class Figures(msgspec.Struct, frozen=True):
    """What one run has shown; times in milliseconds."""

    per_second: float
    p50: float
    p99: float
    failed: int
    count: int
    generator: float = 0.0
    """Microseconds of CPU that wrk itself has taken for a request."""


class Target(msgspec.Struct, frozen=True):
    """A server on loopback, and what it is sent."""

    port: int
    token: str
    body: str
    path: str = "/tasks"


def load(target: Target, connections: int, seconds: int) -> Figures:
    """Keep so many connections busy for some time."""
    spent = -_spent()
    with _wrk(target, connections, seconds) as process:
        answer, _ = process.communicate()
    figures, spent = _figures(answer), spent + _spent()
    return msgspec.structs.replace(figures, generator=spent / figures.count * 1e6)


def send(target: Target, connections: int, count: int) -> Figures:
    """Send `count` requests, and those that are on their way by then; `per_second` says nothing."""
    with _wrk(target, connections, PATIENCE, LIMIT=str(count)) as process:
        assert process.stdout is not None
        while "enough" not in (line := process.stdout.readline()):
            if not line:
                raise RuntimeError("wrk has ended before it had sent everything")
        process.send_signal(signal.SIGINT)  # its clock would run on
        answer, _ = process.communicate()
    return _figures(answer)


def _wrk(target: Target, connections: int, seconds: int, **extra: str) -> subprocess.Popen[str]:
    command: list[Any] = ["wrk", "--threads=1", f"--connections={connections}"]
    command += [
        "--timeout=60s",
        f"--duration={seconds}s",
        f"--script={SCRIPT}",
        f"http://127.0.0.1:{target.port}",
    ]
    env = {**os.environ, "TARGET": target.path, "TOKEN": target.token, "BODY": target.body}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env | extra)


def _spent() -> float:
    """Seconds of CPU of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(answer: str) -> Figures:
    figures = msgspec.json.decode(answer.splitlines()[-1], type=Figures)
    if figures.failed:
        raise RuntimeError(f"{figures.failed} requests failed")
    return figures
