"""Addresses of SQL Server: what each part means, and what is refused without being repeated."""

from __future__ import annotations

import pytest
from taskhub.config.mssql_urls import MssqlUrl, read_mssql_url

WHOLE = (
    "mssql://sa@db.example.com:1434/tasks?encrypt=strict&trust_server_certificate=yes"
    "&host_name_in_certificate=db&server_certificate=/etc/db.pem&login_timeout=60"
    "&multi_subnet_failover=yes&authentication=password"
)


def test_little_is_enough() -> None:
    """Encryption and the check of the certificate are meant where nothing is said."""
    assert read_mssql_url("mssql://sa@db/tasks") == MssqlUrl(
        host="db", port=1433, database="tasks", user="sa", encrypt="yes"
    )


def test_all_can_be_said() -> None:
    """Each option is understood."""
    assert read_mssql_url(WHOLE) == MssqlUrl(
        host="db.example.com",
        port=1434,
        database="tasks",
        user="sa",
        encrypt="strict",
        trusts_any_certificate=True,
        host_name_in_certificate="db",
        server_certificate="/etc/db.pem",
        login_timeout=60,
        multi_subnet_failover=True,
    )


def test_names_may_hold_anything_that_is_written_with_percent_signs() -> None:
    """A domain's user has a backslash, a database may have a brace."""
    found = read_mssql_url("mssql://corp%5Cjo%40x@db/t%7Ba%7Ds%20k")

    assert (found.user, found.database) == ("corp\\jo@x", "t{a}s k")


def test_with_entra_nobody_need_be_named() -> None:
    """The host has an identity of its own, or one of several that is named."""
    assert read_mssql_url("mssql://db/tasks?authentication=entra").is_entra
    assert read_mssql_url("mssql://client-id@db/tasks?authentication=entra").user == "client-id"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mssql://sa:hush@db/tasks", "it goes into [store] password"),
        ("mssql://sa@db", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@/hush", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db:hush/tasks", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db:0/hush", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db;PWD=hush/tasks", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db/tasks/hush", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db/tasks#hush", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db/ta sks", "expected mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://sa@db/hush%00", "expected no control characters"),
        ("mssql://db/hush", "expected a user"),
        ("mssql://sa@db/tasks?hush=1", "expected no options but authentication, encrypt,"),
        ("mssql://sa@db/tasks?encrypt=no&encrypt=yes", "each once"),
        ("mssql://sa@db/tasks?encrypt=hush", "expected encrypt=no or strict or yes"),
        ("mssql://sa@db/tasks?authentication=hush", "expected authentication=entra or password"),
        ("mssql://sa@db/tasks?login_timeout=61", "expected login_timeout=SECONDS, from 1 to 60"),
        ("mssql://sa@db/tasks?login_timeout=hush", "expected login_timeout=SECONDS"),
        ("mssql://sa@db/tasks?server_certificate=", "expected a value behind server_certificate="),
    ],
)
def test_what_is_none_is_not_repeated(url: str, said: str) -> None:
    """A part of it may be a secret that was put into the wrong place."""
    with pytest.raises(ValueError, match="expected") as told:
        read_mssql_url(url)

    assert said in str(told.value)
    assert "hush" not in str(told.value)
