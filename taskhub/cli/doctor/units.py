"""Looks at the systemd services of this machine, where systemd runs; asks `systemctl show`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.cli.services.verdicts import compared
from taskhub.config.sections import Config

BOOTED = Path("/run/systemd/system")
"""It is there where systemd is the first process (sd_booted(3))."""
WITHIN = 5.0  # seconds
WHOLE = "taskhub.service"
REMEDY = "systemctl edit the service, or change the configuration; docs/systemd.md"
PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,NRestarts"

Unit = dict[str, str]


def look(config: Config, path: Path | None = None) -> Iterator[Finding]:
    """Every finding of the services whose names begin with `taskhub`; `path` is what they read."""
    mistakes, doubts = compared(config, path)
    yield from (fail("unit file", text, REMEDY) for text in mistakes)
    yield from (warn("unit file", text, REMEDY) for text in doubts)
    if not BOOTED.exists() or shutil.which("systemctl") is None:
        yield ok("systemd", "does not run here")
        return
    units = [unit for unit in _shown() if unit.get("LoadState") == "loaded"]
    if not units:
        yield ok("systemd", "has no service of TaskHub")
        return
    yield from _together(units)
    for unit in units:
        yield _judged(unit)


def _shown() -> list[Unit]:
    command = ("systemctl", "show", "taskhub*.service", "--all", f"--property={PROPERTIES}")
    told = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
    blocks = told.stdout.strip().split("\n\n")
    return [
        {name: value for name, _, value in (line.partition("=") for line in block.splitlines())}
        for block in blocks
    ]


def _together(units: list[Unit]) -> Iterator[Finding]:
    """The whole and its parts cannot both run."""
    active = [unit["Id"] for unit in units if unit.get("ActiveState") == "active"]
    parts = [name for name in active if name != WHOLE]
    if WHOLE in active and parts:
        text = f"{WHOLE} runs beside {', '.join(parts)}: one or the other is meant"
        yield fail("services", text, f"systemctl disable --now {' '.join(parts)}")


def _judged(unit: Unit) -> Finding:
    name, state = unit["Id"], unit.get("ActiveState", "?")
    if state == "failed":
        return fail(name, "failed", f"journalctl -u {name} -e; then systemctl restart {name}")
    if unit.get("NeedDaemonReload") == "yes":
        text = "its file has changed since systemd read it"
        return warn(name, text, f"systemctl daemon-reload && systemctl restart {name}")
    if state == "active" and unit.get("UnitFileState") == "disabled":
        text = "runs, but would not after a boot"
        return warn(name, text, f"systemctl enable {name}")
    if (times := unit.get("NRestarts", "0")) != "0":
        text = f"{state}; systemd has restarted it {times} times"
        return warn(name, text, f"journalctl -u {name} -p warning says why it ended")
    return ok(name, state)
