"""How a driver is told where to connect, and by whom."""

from __future__ import annotations

import struct
import sys
from types import ModuleType, SimpleNamespace

import pytest
from taskhub.config.mssql_urls import read_mssql_url
from taskhub.errors import ConfigError, StoreDown
from taskhub.store.mssql import entra
from taskhub.store.mssql.address import Address, connection_string
from taskhub.store.mssql.drivers import FREETDS, MICROSOFT, Driver

MICROSOFTS = Driver(MICROSOFT[0])
FREE = Driver(FREETDS, is_freetds=True)
BY_TOKEN = "mssql://db.example.com/tasks?authentication=entra"


def parts(url: str, password: str = "", driver: Driver = MICROSOFTS) -> list[str]:
    """The parts of the connection string."""
    return connection_string(read_mssql_url(url), password, driver, "taskhub-writer").split(";")


def test_the_line_is_encrypted_and_the_certificate_checked() -> None:
    """Unless something else is said."""
    found = parts("mssql://sa@db/tasks", "word")

    assert found[0] == "DRIVER={ODBC Driver 18 for SQL Server}"
    assert {
        "SERVER={tcp:db,1433}",
        "Encrypt={yes}",
        "TrustServerCertificate={no}",
        "DATABASE={tasks}",
        "APP={taskhub-writer}",
        "UID={sa}",
        "PWD={word}",
    } < set(found)


def test_what_is_asked_for_is_passed_on() -> None:
    """Each option by the driver's name for it."""
    url = (
        "mssql://sa@db:14/tasks?encrypt=strict&trust_server_certificate=yes"
        "&host_name_in_certificate=x&server_certificate=/c.pem&multi_subnet_failover=yes"
    )

    assert {
        "SERVER={tcp:db,14}",
        "Encrypt={strict}",
        "TrustServerCertificate={yes}",
        "HostNameInCertificate={x}",
        "ServerCertificate={/c.pem}",
        "MultiSubnetFailover={yes}",
    } < set(parts(url))


def test_a_value_ends_nowhere_but_at_its_end() -> None:
    """Nobody adds a setting by a name or a password."""
    url = read_mssql_url("mssql://a%7D;Encrypt=no@db/t%7Bk%7D")
    text = connection_string(url, "p};Encrypt=no;{", MICROSOFTS, "x")

    assert "UID={a}};Encrypt=no};PWD={p}};Encrypt=no;{}" in text
    assert "DATABASE={t{k}}}" in text


def test_freetds_has_words_of_its_own() -> None:
    """And a version of the protocol that must be said."""
    url = "mssql://sa@db/tasks?trust_server_certificate=yes"

    assert {"SERVER={db}", "PORT={1433}", "TDS_Version={7.4}", "Encryption={require}"} < set(
        parts(url, driver=FREE)
    )
    assert "Encryption={off}" in parts("mssql://sa@db/tasks?encrypt=no", driver=FREE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "say trust_server_certificate=yes"),
        ("?encrypt=strict", "this way of encryption needs Microsoft's ODBC driver"),
        ("?encrypt=no&server_certificate=/c.pem", "this way of encryption"),
    ],
)
def test_what_freetds_cannot_do_is_refused(options: str, said: str) -> None:
    """It checks no certificate that we could name: it must not look as if it did."""
    with pytest.raises(ConfigError, match=said):
        Address(f"mssql://sa@db/tasks{options}", driver=FREE)

    Address("mssql://sa@db/tasks?trust_server_certificate=yes", driver=FREE)


def test_an_address_shows_nothing() -> None:
    """Neither the password nor where it is."""
    address = Address("mssql://sa@db/tasks", "hush-hush", driver=MICROSOFTS)

    assert repr(address) == "Address(...)"


class Credential:
    """What azure-identity gives out, as far as we use it."""

    asked: tuple[object, ...] = ()

    def __init__(self, managed_identity_client_id: str | None) -> None:
        type(self).asked = (managed_identity_client_id,)

    def get_token(self, scope: str) -> SimpleNamespace:
        """A token, or what went wrong."""
        type(self).asked += (scope,)
        if self.asked[0] == "nobody":
            raise RuntimeError("no identity\nand much more")
        return SimpleNamespace(token="tökén")


@pytest.fixture
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("azure.identity")
    module.__dict__["DefaultAzureCredential"] = Credential
    monkeypatch.setitem(sys.modules, "azure", ModuleType("azure"))
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    monkeypatch.setattr(entra, "is_here", lambda: True)


@pytest.mark.usefixtures("_library")
def test_a_token_is_given_as_the_driver_wants_it() -> None:
    """Its length in bytes, then its letters in UTF-16; nothing of a password in the string."""
    letters = "tökén".encode("utf-16-le")

    assert entra.Entra().token("x.database.windows.net", "") == struct.pack("<I", 10) + letters
    assert Credential.asked == (None, "https://database.windows.net/.default")
    assert not [part for part in parts(BY_TOKEN) if part.startswith(("UID", "PWD"))]


@pytest.mark.usefixtures("_library")
def test_an_identity_may_be_named_and_clouds_differ() -> None:
    """A host may have several; the government's cloud has another address."""
    entra.Entra().token("x.database.usgovcloudapi.net", "client")

    assert Credential.asked == ("client", "https://database.usgovcloudapi.net/.default")


@pytest.mark.usefixtures("_library")
def test_no_token_is_a_trouble_with_one_line() -> None:
    """It may pass: the service of tokens is a server as well."""
    with pytest.raises(StoreDown, match="Entra ID gives no token") as told:
        Address(BY_TOKEN.replace("db.", "nobody@db."), driver=MICROSOFTS).connect("x", 1)

    assert told.value.reason.endswith("(no identity)")


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs; nor can FreeTDS take a token."""
    monkeypatch.setattr(entra, "is_here", lambda: False)
    with pytest.raises(ConfigError, match="pip install azure-identity"):
        Address(BY_TOKEN, driver=MICROSOFTS)

    monkeypatch.setattr(entra, "is_here", lambda: True)
    with pytest.raises(ConfigError, match="entra needs Microsoft's ODBC driver"):
        Address(BY_TOKEN, driver=FREE)
