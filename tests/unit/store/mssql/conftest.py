"""Microsoft's own driver, and a peer that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from taskhub.store.mssql import drivers
from taskhub.store.mssql.address import Address
from taskhub.store.mssql.drivers import Driver
from taskhub.store.mssql.session import Session

from tests.tds_server import TdsServer

SECRET = "hush};-hush"


@pytest.fixture(scope="package")
def driver() -> Driver:
    """Microsoft's, as its wheel brings it."""
    path = drivers.in_wheel()
    if path is None:
        pytest.skip("Microsoft's wheel has no ODBC driver for this machine")
    if why_not := drivers.why_not(path):
        pytest.skip(why_not)
    return Driver(str(path))


@pytest.fixture
def server() -> Iterator[TdsServer]:
    """A peer without any wish of its own."""
    with TdsServer().running() as server:
        yield server


@pytest.fixture
def session(server: TdsServer, driver: Driver) -> Iterator[Session]:
    """A session with it."""
    url = f"mssql://sa@127.0.0.1:{server.port}/tasks?encrypt=no&login_timeout=5"
    session = Session(Address(url, SECRET, driver=driver), "taskhub-test", lock_timeout=2.5)
    yield session
    session.close()
