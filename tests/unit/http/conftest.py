"""Fixtures of the API's tests: one empty database a session, one house a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskhub.store.sqlite import SqliteStore

from tests.unit.http.house import House, open_house


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file without rows, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"

    async def make() -> None:
        store = SqliteStore(path)
        await store.migrate()
        await store.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def house(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """The API as it is by default."""
    async with open_house(tmp_path, empty_database) as opened:
        yield opened
