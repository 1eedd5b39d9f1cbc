"""Each test runs once for each back end, on an empty database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.store.backend import Backend, Hands, Maker
from tests.conformance.store.backends import BACKENDS, is_tried
from tests.conformance.store.world import World


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """An ordinary run tries a selection of what is translated for each test anew."""
    left = [item for item in items if not _is_tried(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if _is_tried(item)]


def _is_tried(item: pytest.Item) -> bool:
    spec = getattr(item, "callspec", None)
    kind = "" if spec is None else spec.params.get("kind", "")
    return is_tried(kind, getattr(item, "originalname", item.name))


class Makers(dict[str, Maker]):
    """What makes databases, by kind; a server starts when the first test asks for one."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__()
        self._stack, self._folder = stack, folder

    def __missing__(self, kind: str) -> Maker:
        return self.begin(kind)

    def begin(self, kind: str) -> Maker:
        """Make ready what all tests of this kind share."""
        self[kind] = made = self._stack.enter_context(BACKENDS[kind].begin(self._folder, self))
        return made


@pytest.fixture(scope="session")
def makers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Maker]]:
    """Those of files begin at once: tests that run already may ask for one."""
    with ExitStack() as stack:
        made = Makers(stack, tmp_path_factory.mktemp("back-ends"))
        made.begin("sqlite")
        yield made


@pytest.fixture(params=sorted(BACKENDS))
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the back end under test."""
    name: str = request.param
    return name


@pytest.fixture
def empty(kind: str, tmp_path: Path, makers: dict[str, Maker]) -> Backend:
    """A back end with no schema yet."""
    return makers[kind].empty("taskhub", tmp_path)


@pytest.fixture
def new_backend(kind: str, tmp_path: Path, makers: dict[str, Maker]) -> Callable[[str], Backend]:
    """Makes databases with the schema in place."""
    maker = makers[kind]
    return lambda name: maker.migrated(name, tmp_path)


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
