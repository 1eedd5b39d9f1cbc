"""A sealed process keeps its memory to itself; what it starts can be looked at again."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, os, resource, subprocess, sys
from taskhub.kernel.sealing import leave_no_core, seal

def state():
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    print(dumpable, *resource.getrlimit(resource.RLIMIT_CORE), flush=True)

state()
leave_no_core()
state()
seal()
state()
again = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
subprocess.run([sys.executable, "-c", again], check=True)
"""


def test_a_sealed_process_leaves_no_core_and_cannot_be_looked_into() -> None:
    """Dumpable 0: /proc/PID belongs to root then, and a crash writes nothing (prctl(2))."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    before, without_core, sealed, started = done.stdout.splitlines()
    assert before.split()[0] == without_core.split()[0] == started == "1"
    assert without_core.split()[1:] == sealed.split()[1:]
    assert int(sealed.split()[1]) <= 1
    assert sealed.split()[0] == "0"
