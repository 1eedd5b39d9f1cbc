"""Looks at the systemd units of this machine: do they leave us the time that a stop takes?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDERS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
SYSTEMD_DEFAULT = 90.0  # seconds; systemd-system.conf(5), DefaultTimeoutStopSec
LAST_STEPS = 5.0  # seconds after the grace time: the last commit, the children's end
_LINE = re.compile(r"^\s*TimeoutStopSec\s*=\s*(.*?)\s*$", re.MULTILINE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|msec|min|m|hours?|hr|h|sec|s|)\b")
_SIZES = {"ms": 0.001, "msec": 0.001, "m": 60.0, "min": 60.0}
_HOURS = frozenset({"h", "hr", "hour", "hours"})


def stop_time_warnings(grace: float, folders: Sequence[Path] = FOLDERS) -> Iterator[str]:
    """A line for each of our units that systemd would kill before its grace time is over."""
    needed = grace + LAST_STEPS
    for path in (path for folder in folders for path in sorted(folder.glob("taskhub*.service"))):
        allowed = _allowed(path)
        if allowed < needed:
            yield (
                f"{path}: TimeoutStopSec is {allowed:g} s, but a stop may take "
                f"{needed:g} s (supervisor.grace + {LAST_STEPS:g})"
            )


def _allowed(path: Path) -> float:
    """Seconds; infinity when there is no limit or we cannot tell."""
    try:
        found = _LINE.findall(path.read_text(errors="replace"))
    except OSError:
        return float("inf")
    return seconds(found[-1]) if found else SYSTEMD_DEFAULT


def seconds(text: str) -> float:
    """A time span of systemd (systemd.time(7)); infinity for words."""
    spans = _SPAN.findall(text)
    if not spans:
        return float("inf")
    return sum(float(amount) * _size(unit) for amount, unit in spans)


def _size(unit: str) -> float:
    return 3_600.0 if unit in _HOURS else _SIZES.get(unit, 1.0)
