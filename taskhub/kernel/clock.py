"""Clocks that no administrator can turn: seconds since this boot, and which boot it is."""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Seconds since the boot, suspended time included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The kernel's name for this boot: a time of another boot says nothing."""
    return BOOT_ID.read_text(encoding="ascii").strip()
