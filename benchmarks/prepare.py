"""Has what a benchmark needs beside TaskHub: the stack it is compared with, and wrk."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "benchmarks" / "constraints.txt"
PLACE = ROOT / ".venvs" / "bench"
PYTHON = PLACE / "bin" / "python"


def prepare() -> None:
    """Install what is missing; the second time there is nothing to do."""
    if shutil.which("wrk") is None:
        print("bench: installing wrk, which makes the load")
        subprocess.run([ROOT / "scripts" / "apt-install", "wrk"], check=True)
    stamp, wanted = PLACE / ".made-from", PINS.read_text() + sys.version
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("bench: installing FastAPI, SQLAlchemy and arq into .venvs/bench")
    venv.create(PLACE, with_pip=True, clear=True)
    install: list[str | Path] = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
    ]
    subprocess.run([*install, "--requirement", PINS], check=True)
    stamp.write_text(wanted)
