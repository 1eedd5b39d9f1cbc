"""Fixtures of the API's tests: one empty database a session, one house a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from taskhub.store.sqlite import SqliteStore

from tests.unit.http.house import House, open_house

try:
    import uvloop
except ImportError:  # an extra: the standard loop alone is tested then
    LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
else:
    LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """The mark of what depends on how a loop writes, pauses and hangs up."""
    config.addinivalue_line("markers", "wire: run with asyncio's own loop and with uvloop")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """Both loops where they are asked for, else what everybody gets."""
    return LOOPS if item.get_closest_marker("wire") else None


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
