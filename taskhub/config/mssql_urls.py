"""Reads `[store] url` where it names SQL Server or Azure SQL; no connection, no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

FORM = "mssql://USER@HOST:PORT/DATABASE"
PORT = 1433
NO_PASSWORD = "expected no password here: it goes into [store] password"  # noqa: S105 - a sentence
ENTRA = "entra"
CHOICES: Mapping[str, tuple[str, ...]] = {
    "encrypt": ("yes", "no", "strict"),
    "trust_server_certificate": ("no", "yes"),
    "authentication": ("password", ENTRA),
    "multi_subnet_failover": ("no", "yes"),
}
"""Options and what each may be; the first is meant where it is not said."""
TEXTS = ("host_name_in_certificate", "server_certificate")
LONGEST_LOGIN = 60

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
_SPOILT = re.compile(r"[\x00-\x1f\x7f]")


class MssqlUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, and how it is spoken to."""

    host: str
    port: int = PORT
    database: str
    user: str = ""
    """Who logs in; with Entra ID: the client id of the identity, empty for the host's own."""
    encrypt: str = "yes"
    trusts_any_certificate: bool = False
    is_entra: bool = False
    multi_subnet_failover: bool = False
    host_name_in_certificate: str = ""
    server_certificate: str = ""
    login_timeout: int = 15
    """Seconds; a database of Azure's that sleeps takes long to wake up."""


def read_mssql_url(url: str) -> MssqlUrl:
    """Raises ValueError with what was expected; never with what was given."""
    parts = _split(url)
    options = _options(parts.query)
    user, database = unquote(parts.username or ""), unquote(parts.path.removeprefix("/"))
    if _SPOILT.search(user + database + "".join(options.values())):
        raise ValueError("expected no control characters")
    if not database or "/" in parts.path.removeprefix("/"):
        raise ValueError(f"expected {FORM}")
    is_entra = options["authentication"] == ENTRA
    if not user and not is_entra:
        raise ValueError(f"expected a user, {FORM}, or behind ? authentication={ENTRA}")
    return MssqlUrl(
        host=parts.hostname or "",
        port=parts.port or PORT,
        database=database,
        user=user,
        encrypt=options["encrypt"],
        trusts_any_certificate=options["trust_server_certificate"] == "yes",
        is_entra=is_entra,
        multi_subnet_failover=options["multi_subnet_failover"] == "yes",
        host_name_in_certificate=options["host_name_in_certificate"],
        server_certificate=options["server_certificate"],
        login_timeout=_login_timeout(options),
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"expected {FORM}") from None
    if parts.password is not None:
        raise ValueError(NO_PASSWORD)
    is_whole = _HOST.fullmatch(parts.hostname or "") and port != 0 and not parts.fragment
    if not is_whole or re.search(r"[\x00-\x20]", url):
        raise ValueError(f"expected {FORM}")
    return parts


def _options(query: str) -> dict[str, str]:
    given = parse_qsl(query, keep_blank_values=True)
    names = {*CHOICES, *TEXTS, "login_timeout"}
    found = dict(given)
    if len(found) < len(given) or not found.keys() <= names:
        raise ValueError(f"expected no options but {', '.join(sorted(names))}, each once")
    for name, choices in CHOICES.items():
        if found.setdefault(name, choices[0]) not in choices:
            raise ValueError(f"expected {name}={' or '.join(sorted(choices))}")
    for name in TEXTS:
        if found.setdefault(name, "-") == "":
            raise ValueError(f"expected a value behind {name}=")
    return {name: "" if value == "-" else value for name, value in found.items()}


def _login_timeout(options: Mapping[str, str]) -> int:
    text = options.get("login_timeout", "15")
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= LONGEST_LOGIN:
        raise ValueError(f"expected login_timeout=SECONDS, from 1 to {LONGEST_LOGIN}")
    return int(text)
