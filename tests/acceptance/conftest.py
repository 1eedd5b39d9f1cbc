"""What acceptance tests get: a TaskHub that has not been started yet."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from taskhub.store.sqlite import SqliteStore

from tests.acceptance.installation import Installation, installed

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a row; to make its tables is half of a first start."""
    database = tmp_path_factory.mktemp("tables") / "taskhub.db"
    asyncio.run(SqliteStore(database).migrate())
    return database


@pytest.fixture
async def hub(tmp_path: Path, tables: Path) -> AsyncIterator[Installation]:
    """A TaskHub in a folder of its own; what still runs of it at the end is stopped."""
    (tmp_path / "data").mkdir(mode=0o750)
    shutil.copy(tables, tmp_path / "data")
    async with installed(tmp_path) as installation:
        yield installation


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `make dist` makes: a folder with wheel, executable file, Debian package."""
    if why := no_packages():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "scripts" / "dist", folder], check=True, stdout=subprocess.DEVNULL)
    yield folder
    shutil.rmtree(folder)  # pytest keeps the folders of three runs


def no_packages() -> str:
    """Why none can be made here; "" where they can."""
    if shutil.which("dpkg-deb") is None:
        return "the packages are for Debian, and there is no dpkg-deb here"
    new_enough = "import sys; sys.exit(sys.version_info < (3, 11))"
    told = subprocess.run([SYSTEM_PYTHON, "-c", new_enough], check=False)
    return f"{SYSTEM_PYTHON} is older than 3.11" if told.returncode else ""
