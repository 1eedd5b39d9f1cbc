"""Where the server is, and how a connection to it is made: driver, TLS, and who logs in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyodbc

from taskhub.config.mssql_urls import MssqlUrl, read_mssql_url
from taskhub.errors import ConfigError, ConfigProblem, StoreDown
from taskhub.store.mssql import drivers, entra
from taskhub.store.mssql.connection import SPEECH, Connection, Speech
from taskhub.store.mssql.drivers import Driver
from taskhub.store.mssql.entra import Entra
from taskhub.store.mssql.troubles import NO_LINE

ACCESS_TOKEN = 1256
"""The attribute of Microsoft's driver that takes a token in place of a password."""

ALIVE = {"ConnectRetryCount": "0", "KeepAlive": "10", "KeepAliveInterval": "2"}
"""A connection that is lost is told at once: the session makes another one, with our settings."""

NEEDS_MICROSOFT = "needs Microsoft's ODBC driver, FreeTDS cannot"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is; the password stands apart, so that the address may be shown."""

    url: str
    password: str = field(default="", repr=False)
    speech: Speech = SPEECH
    driver: Driver = field(default_factory=drivers.found)
    """Found when the address is made, so that a missing one is told before anything runs."""
    tokens: Entra = field(default_factory=Entra)

    def __post_init__(self) -> None:
        """Raises ConfigError where the driver cannot do what the address asks for."""
        if wrong := _wrong(read_mssql_url(self.url), self.driver):
            raise ConfigError([ConfigProblem("store.url", wrong)])

    def __repr__(self) -> str:
        return "Address(...)"

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection with every setting that we need; raises pyodbc.Error, StoreDown."""
        url = read_mssql_url(self.url)
        before = {ACCESS_TOKEN: self.tokens.token(url.host, url.user)} if url.is_entra else {}
        if not url.multi_subnet_failover:
            knock(url)
        raw = pyodbc.connect(
            connection_string(url, self.password, self.driver, name),
            autocommit=True,
            timeout=url.login_timeout,
            attrs_before=before,
        )
        return Connection(raw, self.speech, self.driver.sizes).ready(lock_timeout)


def knock(url: MssqlUrl) -> None:
    """Raise StoreDown where nobody listens: Microsoft's driver would wait all the time it has."""
    try:
        socket.create_connection((url.host, url.port), timeout=url.login_timeout).close()
    except OSError as error:
        raise StoreDown(NO_LINE) from error


def _wrong(url: MssqlUrl, driver: Driver) -> str:
    if url.is_entra and not entra.is_here():
        return entra.MISSING
    if not driver.is_freetds:
        return ""
    if url.is_entra:
        return f"authentication=entra {NEEDS_MICROSOFT}"
    if url.encrypt == "strict" or url.server_certificate or url.host_name_in_certificate:
        return f"this way of encryption {NEEDS_MICROSOFT}"
    if url.encrypt != "no" and not url.trusts_any_certificate:
        return (
            f"to check the server's certificate {NEEDS_MICROSOFT}: "
            "install it, or say trust_server_certificate=yes"
        )
    return ""


def connection_string(url: MssqlUrl, password: str, driver: Driver, name: str) -> str:
    """What the driver is given; holds the password, so it is never shown."""
    pairs = _of_freetds(url) if driver.is_freetds else _of_microsoft(url)
    words = {"DRIVER": driver.name, **dict(pairs), "DATABASE": url.database, "APP": name}
    if not url.is_entra:
        words |= {"UID": url.user, "PWD": password}
    return ";".join(f"{key}={quoted(value)}" for key, value in words.items())


def quoted(value: str) -> str:
    """A value in which nothing ends it, and nothing begins another one."""
    return "{" + value.replace("}", "}}") + "}"


def _of_microsoft(url: MssqlUrl) -> Iterator[tuple[str, str]]:
    yield "SERVER", f"tcp:{url.host},{url.port}"
    yield "Encrypt", url.encrypt
    yield "TrustServerCertificate", "yes" if url.trusts_any_certificate else "no"
    if url.host_name_in_certificate:
        yield "HostNameInCertificate", url.host_name_in_certificate
    if url.server_certificate:
        yield "ServerCertificate", url.server_certificate
    if url.multi_subnet_failover:
        yield "MultiSubnetFailover", "yes"
    yield from ALIVE.items()


def _of_freetds(url: MssqlUrl) -> Iterator[tuple[str, str]]:
    yield "SERVER", url.host
    yield "PORT", str(url.port)
    yield "TDS_Version", "7.4"
    yield "Encryption", "off" if url.encrypt == "no" else "require"
