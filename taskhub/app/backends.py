"""Chooses the store and the event bus that the configuration names."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from taskhub.config.stores import EXPECTED, Server, server_of
from taskhub.config.units import entries
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.kernel.imports import import_without

if TYPE_CHECKING:
    from taskhub.bus import EventBus, WorkHints
    from taskhub.config.sections import Config
    from taskhub.events.redis_backlog import BacklogWatch
    from taskhub.events.redis_counts import RedisCounts
    from taskhub.events.redis_line import Address
    from taskhub.events.servicebus_line import Address as ServiceBusAddress
    from taskhub.model import Owner
    from taskhub.obs.telemetry import Emit
    from taskhub.ports import Store
    from taskhub.store.moving import Side

T = TypeVar("T")
SQLITE = "sqlite:///"


def make_store(config: Config) -> Store:
    """The store that `[store] url` names; raises ConfigError where it, or its driver, is none."""
    if server := server_of(config.store.url):
        return _on_server(config, server, STORES[server])
    path = _file(config)
    from taskhub.store.sqlite import SqliteStore

    return SqliteStore(path, lock_timeout=config.store.lock_timeout)


def make_side(config: Config) -> Side:
    """The store that `[store] url` names as one end of a copy; raises as `make_store` does."""
    if server := server_of(config.store.url):
        return _on_server(config, server, SIDES[server])
    path = _file(config)
    from taskhub.store.sqlite.moving import SqliteSide

    return SqliteSide(path, config.store.lock_timeout)


def _file(config: Config) -> Path:
    """The file of the database, which is on no server."""
    if (file := sqlite_file(config)) is None:
        raise ConfigError([ConfigProblem("store.url", f"expected {EXPECTED}")])
    return file


def _on_server(config: Config, server: Server, make: Callable[[Config], T]) -> T:
    """What `make` makes; the driver is no part of every installation."""
    driver, name, extra = SERVERS[server]
    try:
        return make(config)
    except ModuleNotFoundError as error:
        if error.name != driver:
            raise
        wanted = f"{name} needs its driver: pip install 'taskhub[{extra}]'"
        raise ConfigError([ConfigProblem("store.url", wanted)]) from None


def _postgresql(config: Config) -> Store:
    from taskhub.store.postgres import PostgresStore
    from taskhub.store.postgres.session import Address

    address = Address(config.store.url, config.store.password.reveal())
    return PostgresStore(address, lock_timeout=config.store.lock_timeout)


def _postgresql_side(config: Config) -> Side:
    from taskhub.store.postgres.moving import PostgresSide
    from taskhub.store.postgres.session import Address

    address = Address(config.store.url, config.store.password.reveal())
    return PostgresSide(address, config.store.lock_timeout)


def _mssql(config: Config) -> Store:
    from taskhub.store.mssql import MssqlStore
    from taskhub.store.mssql.address import Address

    address = Address(config.store.url, config.store.password.reveal())
    return MssqlStore(address, lock_timeout=config.store.lock_timeout)


def _mssql_side(_: Config) -> Side:
    raise ConfigError([ConfigProblem("store.url", "SQL Server cannot be copied yet")])


SERVERS: dict[str, tuple[str, str, str]] = {
    "postgresql": ("psycopg", "PostgreSQL", "postgres"),
    "mssql": ("pyodbc", "SQL Server", "mssql"),
}
"""The module of a server's driver, its name, and our extra that has it."""

STORES: dict[str, Callable[[Config], Store]] = {"postgresql": _postgresql, "mssql": _mssql}
SIDES: dict[str, Callable[[Config], Side]] = {
    "postgresql": _postgresql_side,
    "mssql": _mssql_side,
}


def import_sparingly(config: Config, unit: str) -> None:
    """Import the event server's client without the SDK of metrics that it takes along, 3 MB.

    Not where handlers run: theirs may use what it can do with that.
    """
    if config.events.url != "local" and "pool" not in entries(config.units, unit):
        import_without("opentelemetry", "redis")


def make_bus(config: Config, role: str) -> EventBus:
    """The event bus that `[events] url` names, under the client name `taskhub-ROLE`."""
    if config.events.url == "local":
        from taskhub.events.local import LocalBus

        return LocalBus()
    if config.events.is_service_bus:
        return _service_bus(config, role)
    from taskhub.events.redis_pubsub import RedisBus
    from taskhub.events.redis_streams import hints

    return RedisBus(
        config.events.url,
        config.events.channel,
        login=config.redis,
        client_name=f"taskhub-{role}",
        also=hints(config.events.channel) if config.events.has_streams else None,
    )


def _service_bus(config: Config, role: str) -> EventBus:
    from taskhub.config.servicebus import subscription_of
    from taskhub.events.servicebus import ServiceBus

    address = service_bus_address(config, role)
    own = subscription_of(config.servicebus.subscription, role, socket.gethostname())
    return ServiceBus(address, config.events.channel, own)


def service_bus_address(config: Config, role: str) -> ServiceBusAddress:
    """Of the topic that `[events] url` names."""
    from taskhub.events.servicebus_line import Address

    return Address.parse(config.events.url, config.servicebus.connection_string, f"taskhub-{role}")


def make_work(config: Config, role: str, owner: Owner) -> WorkHints | None:
    """Where a worker takes hints of new work from; None: it hears the bell that all hear."""
    if config.events.is_service_bus:
        from taskhub.events.servicebus_work import WorkSubscription

        address = service_bus_address(config, role)
        return WorkSubscription(address, config.events.channel, config.servicebus.work)
    if not config.events.has_streams:
        return None
    from taskhub.events.redis_streams import WorkStream

    return WorkStream(_address(config, role), config.events.channel, owner)


def make_backlog_watch(config: Config, role: str, emit: Emit) -> BacklogWatch | None:
    """Who sees how much new work waits; None: there is no stream to look at."""
    if not config.events.has_streams:
        return None
    from taskhub.events.redis_backlog import BacklogWatch

    return BacklogWatch(_address(config, role), config.events.channel, emit)


def _address(config: Config, role: str) -> Address:
    from taskhub.events.redis_line import Address

    return Address.parse(config.events.url, config.redis, f"taskhub-{role}")


def make_counts(config: Config, role: str, emit: Emit) -> RedisCounts | None:
    """What processes count rates with together, on the event server; None where there is none."""
    if config.events.url == "local" or config.events.is_service_bus:
        return None
    from taskhub.events.redis_counts import RedisCounts

    return RedisCounts(_address(config, role), config.events.channel, emit)


def state_directory(config: Config) -> Path:
    """Where the files of this installation live: beside the database."""
    file = sqlite_file(config)
    return file.parent if file is not None else Path("data").absolute()


def sqlite_file(config: Config) -> Path | None:
    """The file of the database; None: it is another one than SQLite's."""
    url = config.store.url
    return Path(url.removeprefix(SQLITE)).absolute() if url.startswith(SQLITE) else None
