"""What a UUIDv7 tells: when it was made; so a range of time is a range of ids."""

from __future__ import annotations

FIRST, LAST = "", "~"
"""Less and greater than any id."""

SLACK = 60_000_000
"""Microseconds by which the time in an id and the time of creation beside it may differ."""


def first_id_at(micros: int, *, later: bool) -> str:
    """A bound on the ids of tasks created at `micros`: below them all, or `later`: above them."""
    millis = max(0, micros + (SLACK if later else -SLACK)) // 1000
    digits = f"{millis:012x}"
    return f"{digits[:8]}-{digits[8:12]}"
