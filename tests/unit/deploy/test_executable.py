"""The executable file: it unpacks itself safely, and the same folder makes the same file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"
MAIN = """
import os, subprocess, sys

def main():
    child = "import taskhub.data; print(taskhub.data.__file__)"
    subprocess.run([sys.executable, "-P", "-c", child], check=True)
    print(sys.argv[1:], os.access(os.path.join(os.path.dirname(__file__), "tool"), os.X_OK))
    return 3
"""

Ended = subprocess.CompletedProcess[str]
Build = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of modules with a program in it."""
    folder = tmp_path / "site"
    for path, text in {
        "taskhub/__init__.py": "",
        "taskhub/data.py": "",
        "taskhub/cli/__init__.py": "",
        "taskhub/cli/main.py": MAIN,
        "taskhub/cli/tool": "#!/bin/sh\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "taskhub/cli/tool").chmod(0o755)
    return folder


def built(site: Path, made_for: str = OURS, name: str = "program") -> Path:
    """The file that is made of it."""
    target = site.parent / name
    script = str(ROOT / "scripts/executable.py")
    command = [sys.executable, script, str(site), made_for, str(target)]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    return target


def run(program: Path, *words: str, **environ: str) -> Ended:
    """Run it with the tests' own Python, and HOME beside it."""
    return subprocess.run(
        [sys.executable, program, *words],
        check=False,
        capture_output=True,
        text=True,
        env={"HOME": str(program.parent), "PATH": os.environ["PATH"], **environ},
    )


def test_it_unpacks_itself_once_and_hands_over(site: Path, tmp_path: Path) -> None:
    """Arguments, exit code, programs that can run, and modules that children find too."""
    program = built(site)

    first, again = run(program, "a", "b"), run(program, "a", "b")

    (place,) = (tmp_path / ".cache/taskhub").iterdir()
    assert first.stdout == f"{place}/taskhub/data.py\n['a', 'b'] True\n", first.stderr
    assert (first.returncode, again.returncode) == (3, 3)
    assert again.stdout == first.stdout


def test_the_same_folder_makes_the_same_file(site: Path) -> None:
    """Times and their order on disk are not in it."""
    one = built(site).read_bytes()
    for path in site.rglob("*"):
        os.utime(path, (1, 1))

    assert built(site, name="again").read_bytes() == one


def test_another_python_is_told_so(site: Path) -> None:
    """One line, no traceback: its libraries are compiled for one version."""
    ended = run(built(site, "cpython-3.1"))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"taskhub: this file is for cpython-3.1, not for {OURS}\n"


def test_nothing_is_run_from_a_folder_that_others_may_write_to(site: Path, tmp_path: Path) -> None:
    """They could put their own modules there."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)

    ended = run(built(site), TASKHUB_UNPACK=str(open_to_all))

    assert ended.returncode == 1
    assert ended.stderr.endswith("is not ours alone; TASKHUB_UNPACK names another folder\n")


def test_a_place_that_cannot_be_had_is_named(site: Path, tmp_path: Path) -> None:
    """A file stands where the folder should."""
    (tmp_path / "file").touch()

    ended = run(built(site), TASKHUB_UNPACK=str(tmp_path / "file" / "below"))

    assert ended.returncode == 1
    assert f"taskhub: {tmp_path}/file/below: " in ended.stderr
    assert "Traceback" not in ended.stderr
