"""Fixtures of the composition's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskhub.store.sqlite import SqliteStore

from tests.unit.app.household import Household, household


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Household]:
    """A process whose parts are made and not started; its folder is the working directory."""
    monkeypatch.chdir(tmp_path)
    with household(tmp_path) as house:
        yield house


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file without rows, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"

    async def make() -> None:
        await SqliteStore(path).migrate()

    asyncio.run(make())
    return path
