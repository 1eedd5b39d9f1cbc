"""A database that is well, to be copied and hurt."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from taskhub.config.sections import Config, StoreSection
from taskhub.store.sqlite import SqliteStore


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file without rows."""
    path = tmp_path_factory.mktemp("whole") / "taskhub.db"
    asyncio.run(SqliteStore(path).migrate())
    return path


@pytest.fixture
def database(whole: Path, tmp_path: Path) -> Path:
    """A copy of it in a folder of its own."""
    return Path(shutil.copy(whole, tmp_path / "taskhub.db"))


@pytest.fixture
def config(database: Path) -> Config:
    """The configuration that names it."""
    return Config(store=StoreSection(url=f"sqlite:///{database}"))
