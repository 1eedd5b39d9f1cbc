"""Where packages come from is for each machine to say: no file of ours names a registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.style.tree import ROOT, files

PUBLIC = ["pypi.org", "pythonhosted.org", "npmjs.org", "deb.debian.org", "/simple/"]
OPTIONS = ["index-url", "find-links", "trusted-host"]
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+$")


def configured_hosts() -> set[str]:
    """The hosts that pip of this machine is told to use."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(pip, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"https?://(?:[^/@\s'\"]+@)?([^/:\s'\"]+)", said))


def test_no_file_names_a_registry() -> None:
    """A mirror's address would send every other machine to a place that it can not reach."""
    words = [re.escape(word) for word in {*PUBLIC, *OPTIONS, *configured_hosts()}]
    named = re.compile("|".join(words))
    texts = {path: path.read_text(errors="replace") for path in files() if path != Path(__file__)}

    found = [str(path.relative_to(ROOT)) for path, text in texts.items() if named.search(text)]

    assert found == []


def test_every_constraint_is_one_exact_version() -> None:
    """`name==version` alone: no address, no range, nothing that means another thing tomorrow."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert [pin for pin in pins if not PIN.match(pin)] == []
    assert len(pins) == len({pin.partition("==")[0].lower().replace("_", "-") for pin in pins})
