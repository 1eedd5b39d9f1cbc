"""A foreign program's tie to its parent: `python tether.py PARENT PROGRAM ARGUMENTS...`.

Run as a script, before the program takes its place; PR_SET_PDEATHSIG survives the exec. It
imports nothing of ours, so that it starts fast and from anywhere.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tethered(argv: list[str]) -> list[str]:
    """The command line that runs `argv` as a child that dies with this process.

    The death that counts is that of the thread which starts it: start it in the main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def main() -> None:
    """Tie ourselves, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == parent:
        os.execvp(program[0], program)  # noqa: S606 - that is what we are for


if __name__ == "__main__":
    main()
