"""Time spans as systemd writes them (systemd.time(7)); nothing else of it."""

from __future__ import annotations

import re

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|msec|min|m|hours?|hr|h|sec|s|)\b")
_SIZES = {"ms": 0.001, "msec": 0.001, "m": 60.0, "min": 60.0}
_HOURS = frozenset({"h", "hr", "hour", "hours"})


def seconds(text: str) -> float:
    """A time span in seconds; infinity for words."""
    spans = _SPAN.findall(text)
    if not spans:
        return float("inf")
    return sum(float(amount) * _size(unit) for amount, unit in spans)


def _size(unit: str) -> float:
    return 3_600.0 if unit in _HOURS else _SIZES.get(unit, 1.0)
