"""Fixtures of the actors' tests: one empty database a session, one workshop a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskhub.store.sqlite import SqliteStore

from tests.actors.workshop import Workshop, running


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file without rows, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"

    async def make() -> None:
        await SqliteStore(path).migrate()

    asyncio.run(make())
    return path


@pytest.fixture
async def workshop(tmp_path: Path, empty_database: Path) -> AsyncIterator[Workshop]:
    """A store actor on a database of its own, under a supervisor."""
    shop = Workshop(tmp_path, empty_database)
    async with running([shop.store_spec()]):
        yield shop
