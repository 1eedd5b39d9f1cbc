"""The wheel and the executable file that `make dist` makes are installed and used."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.acceptance.installation import Installation

ROOT = Path(__file__).parents[2]
VERSION = re.compile(r"taskhub [0-9.]+ \(commit ([0-9a-f]{12}|unknown)(-changed)?\)\n")


def said(*command: str | Path, **environ: str) -> str:
    """What a command says with nothing of our environment but this."""
    path = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=path)
    return done.stdout


async def test_one_file_is_a_whole_taskhub_for_this_machine_s_own_python(
    packages: Path, hub: Installation, tmp_path: Path
) -> None:
    """Its children too: it unpacks itself, once, and serves, works and stops as ever."""
    program, place = packages / "taskhub", str(tmp_path / "unpacked")
    assert VERSION.fullmatch(said(program, "--version", TASKHUB_UNPACK=place))
    hub.program = (str(program),)

    await hub.start(environ={"TASKHUB_UNPACK": place})
    task = await hub.ended((await hub.post(payload={"seconds": 0}))["id"])

    assert task["status"] == "Done"
    assert await hub.stop() == 0
    assert len(list((tmp_path / "unpacked").iterdir())) == 1
    shutil.rmtree(place)  # pytest keeps the folders of three runs


def test_the_wheel_is_installed_into_a_fresh_environment(packages: Path, tmp_path: Path) -> None:
    """Without an index: the libraries are those of the tests, TaskHub itself is the wheel's."""
    fresh = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(fresh / "bin/python"), "install"]
    pip += ["-q", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, *map(str, packages.glob("*.whl"))], check=True)
    site = next(fresh.glob("lib/python3.*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))

    assert VERSION.fullmatch(said(fresh / "bin/taskhub", "--version"))
    assert "[http]" in said(fresh / "bin/taskhub", "config")
    where = said(fresh / "bin/python", "-P", "-c", "import taskhub; print(taskhub.__file__)")
    assert where.startswith(str(fresh))


def test_the_same_files_make_the_same_wheel(packages: Path, tmp_path: Path) -> None:
    """Byte for byte: who has the commit can check what others have built."""
    subprocess.run([ROOT / "scripts" / "build-wheel", tmp_path], check=True)

    (first,), (again,) = packages.glob("*.whl"), tmp_path.glob("*.whl")
    assert first.read_bytes() == again.read_bytes()
    sums = (packages / "SHA256SUMS").read_text()
    names = {line.split()[1] for line in sums.splitlines()}
    assert names == {path.name for path in packages.glob("taskhub*")}
