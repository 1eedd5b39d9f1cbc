"""What npm installs: the same everywhere, from whatever registry the machine asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.style.tree import ROOT

PACKAGES = (
    ROOT / "clients" / "typescript",
    ROOT / "tests" / "newman",
    ROOT / "tests" / "dashboards",
    ROOT / "tests" / "acceptance" / "provider",
    ROOT / "examples" / "angular",
)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.name))
def test_every_node_part_is_locked_to_one_version_and_its_sum(folder: Path) -> None:
    """Without an address: `npm ci` asks the registry that is configured, and compares sums."""
    lock = json.loads((folder / "package-lock.json").read_text())
    parts = {
        name: part
        for name, part in lock["packages"].items()
        if "node_modules/" in name and not part.get("link")
    }

    assert parts
    assert [name for name, part in parts.items() if "resolved" in part] == []
    assert [name for name, part in parts.items() if "integrity" not in part] == []


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.name))
def test_what_is_asked_for_is_one_version(folder: Path) -> None:
    """No ranges: what is newer comes when somebody has looked at it."""
    told = json.loads((folder / "package.json").read_text())
    wanted = told.get("dependencies", {}) | told.get("devDependencies", {})

    assert wanted
    ranges = [one for one in wanted.values() if not (one[0].isdigit() or one.startswith("file:"))]
    assert ranges == []
