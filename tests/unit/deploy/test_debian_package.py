"""The Debian package of a small folder: what is in it, and the same bytes each time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None or not Path(PYTHON).exists(),
    reason="no dpkg-deb, or no Python of the system",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of modules as scripts/build-site leaves it, nearly empty."""
    for path, text in {
        "taskhub/commit.txt": "0123456789ab\n",
        "taskhub-1.2.dist-info/METADATA": "Name: taskhub\nVersion: 1.2\n",
    }.items():
        (tmp_path / "site" / path).parent.mkdir(parents=True)
        (tmp_path / "site" / path).write_text(text)
    return tmp_path / "site"


def built(site: Path, out: Path) -> Path:
    """The package."""
    out.mkdir()
    command = [str(ROOT / "scripts/build-deb"), str(site), PYTHON, str(out)]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    (package,) = out.iterdir()
    return package


def told(*command: str | Path) -> str:
    """What dpkg-deb says."""
    done = subprocess.run(["dpkg-deb", *command], check=True, capture_output=True, text=True)
    return done.stdout


def test_the_same_folder_makes_the_same_package(site: Path, tmp_path: Path) -> None:
    """Neither times nor this machine's accounts are in it."""
    one = built(site, tmp_path / "one").read_bytes()
    for path in site.rglob("*"):
        os.utime(path, (1, 1))

    assert built(site, tmp_path / "two").read_bytes() == one


def test_it_says_what_it_is_and_needs_the_python_it_was_made_for(
    site: Path, tmp_path: Path
) -> None:
    """Version, commit, dependencies; every unit; configuration that upgrades leave alone."""
    package = built(site, tmp_path / "out")
    fields = told("--field", package)
    names = {line.split()[5] for line in told("--contents", package).splitlines()}

    assert "Version: 1.2\n" in fields
    assert "commit 0123456789ab" in fields
    assert "python3 (>= 3." in fields
    units = {
        f"./usr/lib/systemd/system/{path.name}" for path in (ROOT / "deploy/systemd").iterdir()
    }
    assert units <= names
    conffiles = (ROOT / "deploy/debian/conffiles").read_text().split()
    assert {f".{path}" for path in conffiles} <= names
    assert all(line.split()[1] == "root/root" for line in told("--contents", package).splitlines())


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_its_scripts_are_shell(script: str) -> None:
    """And end at the first mistake."""
    path = ROOT / "deploy/debian" / script

    subprocess.run(["sh", "-n", path], check=True)

    assert "\nset -e\n" in path.read_text()
