"""Run a program that the kernel kills when its parent dies; started by path, needs none of ours.

Usage: tether.py PARENT_PID PROGRAM ARGUMENT...

A `preexec_fn` would run Python between fork and exec, which may deadlock; here the process is
already its own, and after the exec nothing of Python is left in memory. The parent is the *thread*
that made the process. Where there is no prctl (macOS) the program runs untethered.
"""

from __future__ import annotations

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # see prctl(2); it survives the exec


def main(parent: str, *program: str) -> None:
    """Tie, look whether the parent is still there, become the program."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):  # else it has died before we were tied to it
        os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
