"""The small parts of the composition: names, bells, back ends, what a root refuses."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from taskhub.app.backends import make_bus, make_store, state_directory
from taskhub.app.naming import named
from taskhub.app.rings import ring
from taskhub.app.root import _entries, refuse_grandchildren
from taskhub.config.runtime import socket_path
from taskhub.config.sections import Config, EventsSection, Secret, StoreSection
from taskhub.errors import ConfigError
from taskhub.events.local import LocalBus
from taskhub.events.redis_pubsub import RedisBus
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.mailbox import Mailbox
from taskhub.kernel.pulse import Pulse
from taskhub.messages import Stop, Wake
from taskhub.store.postgres import PostgresStore
from taskhub.store.sqlite import SqliteStore

# ---- names ----


def test_processes_of_one_unit_are_numbered_by_who_is_there(tmp_path: Path) -> None:
    """The first free number, so that a restarted one is called as before."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(named(tmp_path, "worker")) for _ in range(2))
        assert (first, second) == ("worker-1", "worker-2")
    with named(tmp_path, "worker") as again, named(tmp_path, "api") as other:
        assert (again, other) == ("worker-1", "api-1")


def test_a_tree_is_one_and_has_no_number(tmp_path: Path) -> None:
    """A second root would take the sockets of the first one's children."""
    with named(tmp_path, "tree") as name:
        assert name == "tree"
        with pytest.raises(ConfigError, match="another tree runs"), named(tmp_path, "tree"):
            pass
    with named(tmp_path, "tree"):
        pass


async def test_a_name_that_answers_is_taken_also_without_a_lock(tmp_path: Path) -> None:
    """The child of a tree: its root gave it the name."""
    path = socket_path(tmp_path, "worker-1")
    path.parent.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(path, Pulse(), name="worker-1")
    keeper.start(asyncio.get_running_loop())
    try:
        with named(tmp_path, "worker") as name:
            assert name == "worker-2"
    finally:
        keeper.close()


def test_many_that_start_at_once_get_a_name_each(tmp_path: Path) -> None:
    """A lock decides, not a look."""
    names, go, done = list[str](), threading.Barrier(4), threading.Barrier(4)

    def start() -> None:
        go.wait(10)
        with named(tmp_path, "worker") as name:
            names.append(name)
            done.wait(10)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(names) == ["worker-1", "worker-2", "worker-3", "worker-4"]


# ---- the bell ----


def test_a_bell_wakes_those_who_want_its_kind() -> None:
    """And nobody else."""
    box: Mailbox[Wake] = Mailbox("pool", 4)
    heard = ring(box, "work")
    heard(frozenset({"ended", "cancel"}))
    assert len(box) == 0
    heard(frozenset({"ended", "work"}))
    assert len(box) == 1


def test_many_bells_are_one_wake() -> None:
    """A storm of events costs one look; whatever lies in the mailbox wakes its reader."""
    box: Mailbox[Wake | Stop] = Mailbox("pool", 4)
    heard = ring(box, "work")
    for _ in range(100):
        heard(frozenset({"work"}))
    assert (len(box), box.posted, box.refused) == (1, 1, 0)


def test_a_bell_for_who_has_stopped_is_dropped() -> None:
    """The subscriber outlives no actor it rings for, but for a moment it may."""
    box: Mailbox[Wake] = Mailbox("pool", 4)
    box.close()
    ring(box, "work")(frozenset({"work"}))
    assert len(box) == 0


# ---- back ends ----


def stored(url: str) -> Config:
    """A configuration with this store."""
    return Config(store=StoreSection(url=url))


async def test_the_store_is_the_file_that_the_url_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three slashes: from where we stand; four: from the root. What lies beside it is ours too."""
    monkeypatch.chdir(tmp_path)
    relative, absolute = stored("sqlite:///data/x.db"), stored(f"sqlite:///{tmp_path}/y/x.db")

    for config, folder in ((relative, tmp_path / "data"), (absolute, tmp_path / "y")):
        store = make_store(config)
        assert isinstance(store, SqliteStore)
        assert store._path == folder / "x.db"
        assert state_directory(config) == folder


def test_another_store_is_refused_by_name() -> None:
    """Whoever asks for what is not there yet must not get something else."""
    with pytest.raises(ConfigError, match=r"store\.url: expected sqlite:///PATH"):
        make_store(stored("mysql://server/db"))


@pytest.mark.parametrize(
    ("scheme", "folder", "driver", "extra"),
    [("postgresql", "postgres", "psycopg", "postgres"), ("mssql", "mssql", "pyodbc", "mssql")],
)
def test_a_server_s_store_needs_its_driver(
    scheme: str, folder: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no part of every installation; whoever wants it is told what to install."""
    for name in [name for name in sys.modules if name.startswith(f"taskhub.store.{folder}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, driver, None)

    with pytest.raises(ConfigError, match=rf"pip install 'taskhub\[{extra}\]'"):
        make_store(stored(f"{scheme}://taskhub@host/db"))


def test_a_server_s_store_shows_no_password() -> None:
    """Neither the store nor what it is made of."""
    section = StoreSection(url="postgresql://taskhub@host/db", password=Secret("hush-hush"))
    store = make_store(Config(store=section))

    assert isinstance(store, PostgresStore)
    assert "hush" not in repr(store) + repr(vars(store))


async def test_the_bus_is_chosen_by_the_url() -> None:
    """`local` needs no server and reads no library of one."""
    assert isinstance(make_bus(Config(events=EventsSection(url="local")), "all"), LocalBus)
    url = "redis://127.0.0.1:1/0"
    bus = make_bus(Config(events=EventsSection(url=url)), "worker-1")
    assert isinstance(bus, RedisBus)
    await bus.close()


# ---- the root ----


def test_without_embedded_there_is_no_event_server_to_keep() -> None:
    """The unit may name it all the same: one file for both."""
    embedded, external = Config(), Config(events=EventsSection(url="redis://example.test"))
    assert "events-server" in _entries(embedded, "tree")
    assert "events-server" not in _entries(external, "tree")
    assert len(_entries(embedded, "tree")) == len(_entries(external, "tree")) + 1


def test_a_unit_that_runs_as_a_child_has_no_children_of_its_own() -> None:
    """They would silently not be started."""
    units = {**Config().units, "region": ("store", "unit:worker"), "world": ("unit:region",)}
    refuse_grandchildren(Config(units=units), "tree")
    refuse_grandchildren(Config(units=units), "region")
    with pytest.raises(ConfigError, match=r"units\.region: expected no units in a unit that world"):
        refuse_grandchildren(Config(units=units), "world")
