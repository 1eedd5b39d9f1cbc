"""Keeps the memory of a process to itself: no core file, and no look into it by its own account."""

from __future__ import annotations

import ctypes
import resource

PR_SET_DUMPABLE = 4
NO_CORE = 1
"""Bytes. A file of one byte is none, and a program that core_pattern names is not started either:
with 0 it would be (core(5)).
"""


def leave_no_core() -> None:
    """No crash of this process, or of what it starts, writes its memory anywhere."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = NO_CORE if most == resource.RLIM_INFINITY else min(NO_CORE, most)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def seal() -> None:
    """That, and nobody of the same account reads our memory or environment: only root may.

    What we start is not sealed by it: the kernel opens a process again when it becomes another
    program.
    """
    leave_no_core()
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
