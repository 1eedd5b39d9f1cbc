"""What `make` offers is said by `make help`, and by nobody else."""

from __future__ import annotations

import re
import subprocess

from tests.style.tree import ROOT

PROMISED = {
    "dist",
    "help",
    "setup",
    "demo",
    "up",
    "test",
    "check",
    "fmt",
    "bench",
    "examples",
    "generate",
    "clean",
}


def test_make_alone_lists_every_target() -> None:
    """The first thing a newcomer types must say what can be typed next."""
    said = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert set(re.findall(r"^  make ([a-z-]+)", said, re.MULTILINE)) == PROMISED
