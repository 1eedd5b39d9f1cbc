"""Each test runs once for each back end, on an empty database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.conformance.store.backends import BACKENDS, Backend, Hands
from tests.conformance.store.world import World


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One migrated database of each kind, to be copied: a migration costs a second."""
    folder = tmp_path_factory.mktemp("templates")
    made = {name: folder / name for name in BACKENDS}
    for name, path in made.items():
        asyncio.run(BACKENDS[name](path, None).store().migrate())
    return made


@pytest.fixture(params=sorted(BACKENDS))
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the back end under test."""
    name: str = request.param
    return name


@pytest.fixture
def empty(kind: str, tmp_path: Path) -> Backend:
    """A back end with no schema yet."""
    return BACKENDS[kind](tmp_path / "new" / "taskhub.db", None)


@pytest.fixture
def new_backend(kind: str, tmp_path: Path, templates: dict[str, Path]) -> Callable[[str], Backend]:
    """Makes databases with the schema in place."""
    return lambda name: BACKENDS[kind](tmp_path / f"{name}.db", templates[kind])


@pytest.fixture
def backend(new_backend: Callable[[str], Backend]) -> Backend:
    """One database with the schema in place."""
    return new_backend("taskhub")


@pytest.fixture
async def world(backend: Backend) -> AsyncIterator[World]:
    """An open store on it, with clocks that stand still until they are moved."""
    hands = Hands()
    world = World(backend, hands, backend.store(hands))
    await world.store.open()
    try:
        yield world
    finally:
        await world.store.close()
