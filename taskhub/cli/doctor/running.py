"""Looks at the processes that run here: ready, of which version, how many files they may open."""

from __future__ import annotations

import platform
import re
import resource
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from taskhub.build import version
from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.cli.supervision import ANSWER_WITHIN, Process, processes, sockets, unready
from taskhub.config.sections import Config
from taskhub.kernel.call import Refused, Unreachable, call_blocking

FEW_FILES = 4_096  # each connection, each follower of events and each handler's file is one
LOG = "the log says more: journalctl -u taskhub -e"
NEARLY_ALL = 0.8  # of the files that may be open
_BUILT = re.compile(rb'^taskhub_build_info\{.*version="([^"]*)".*\} 1', re.MULTILINE)
_OPEN_FILES = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)


def look(config: Config) -> Iterator[Finding]:
    """Every finding of the processes of this installation."""
    found = processes(config)
    yield from _states(found)
    yield _versions(config)
    yield _files([process.pid for process in found if process.pid is not None])


def _states(found: Sequence[Process]) -> Iterator[Finding]:
    if not found:
        fix = "systemctl start taskhub (or taskhub run)"
        yield warn("processes", "no TaskHub runs here", fix)
        return
    reasons = [reason for process in found for reason in unready(process)]
    for reason in reasons:
        yield fail("processes", reason, LOG)
    doubts = [(each.unit, part) for each in found for part in each.parts if _is_away(part)]
    for unit, part in doubts:
        yield warn("processes", f"{unit}: {part['name']}: {part['detail']}", LOG)
    if not reasons and not doubts:
        yield ok("processes", f"{', '.join(process.unit for process in found)}: ready")


def _is_away(part: dict[str, str]) -> bool:
    return part["state"] == "degraded"


def _versions(config: Config) -> Finding:
    ours = version()
    running = {name for path in sockets(config) if (name := _version_of(path))}
    parts = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    if running - {ours}:
        text = f"taskhub {ours} is installed, {', '.join(sorted(running))} runs"
        return warn("versions", text, "systemctl restart taskhub")
    return ok("versions", f"taskhub {ours}, {parts}")


def _version_of(path: Path) -> str:
    with suppress(Unreachable, Refused):
        told = _BUILT.search(call_blocking(path, "metrics", ANSWER_WITHIN)["body"])
        return told[1].decode() if told else ""
    return ""


def _files(pids: Sequence[int]) -> Finding:
    """The process that has the least room left; our own where none runs."""
    rooms = [room for pid in pids if (room := _room(pid))]
    used, most = max(rooms, key=lambda room: room[0] / room[1], default=(0, _own_limit()))
    text = f"{used} of {most} open" if rooms else f"{most} may be open"
    fix = "LimitNOFILE=65536 in the service, or ulimit -n 65536 before taskhub run"
    if used > NEARLY_ALL * most:
        return fail("open files", text, fix)
    return warn("open files", text, fix) if most < FEW_FILES else ok("open files", text)


def _own_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _room(pid: int) -> tuple[int, int] | None:
    """How many files a process has open, and how many it may; None: it is not ours to look at."""
    folder = Path("/proc") / str(pid)
    try:
        most = _OPEN_FILES.search((folder / "limits").read_text())
        used = sum(1 for _ in (folder / "fd").iterdir())
    except OSError:
        return None
    return (used, int(most[1])) if most else None
