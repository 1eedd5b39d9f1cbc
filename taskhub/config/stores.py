"""Rules for the address of the store: each wrong one with what was expected; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from taskhub.config.issuers import Wrong
from taskhub.config.mssql_urls import FORM, NO_PASSWORD, read_mssql_url

Server = Literal["", "postgresql", "mssql"]
"""Which server keeps the tasks; none where it is a file."""
SERVERS: dict[str, Server] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mssql": "mssql",
}
EXPECTED = f"sqlite:///PATH, postgresql://USER@HOST:PORT/DATABASE or {FORM}"
OPTIONS = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"}
)
"""What may stand behind a question mark; nothing that is a secret, or that we set ourselves."""


def rules(url: str) -> Iterator[Wrong]:
    """What is wrong with `store.url`."""
    scheme = url.partition(":")[0]
    if (server := server_of(url)) == "mssql":
        wrong = _wrong_mssql(url)
    elif server:
        wrong = _wrong_postgresql(url)
    elif scheme.partition("+")[0] in SERVERS:
        wrong = f"{scheme} is not in this version: expected {EXPECTED}"
    else:
        wrong = _wrong_file(url)
    if wrong:
        yield "store.url", wrong


def server_of(url: str) -> Server:
    """The server that an address names; empty: it names none."""
    return SERVERS.get(url.partition(":")[0], "")


def _wrong_file(url: str) -> str:
    if not url.startswith("sqlite:///") or url in {"sqlite:///", "sqlite:////"}:
        return f"expected {EXPECTED} (four slashes for an absolute path)"
    if ":memory:" in url:
        return "expected a file: memory outlives no process"
    if re.search(r"[?#\x00-\x1f]", url):
        return "expected a path without ?, # and control characters"
    return ""


def _wrong_mssql(url: str) -> str:
    try:
        read_mssql_url(url)
    except ValueError as error:
        return str(error)
    return ""


def _wrong_postgresql(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return f"expected {EXPECTED}"
    if parts.password is not None:
        return NO_PASSWORD
    if parts.fragment or not parts.path.removeprefix("/") or re.search(r"[\x00-\x20]", url):
        return f"expected {EXPECTED}"
    return _wrong_options(parts)


def _wrong_options(parts: SplitResult) -> str:
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if not names <= OPTIONS:
        return f"expected no options but {', '.join(sorted(OPTIONS))}"
    if not parts.hostname and "host" not in names:
        return "expected a host, or behind ? as host=/FOLDER the folder of its socket"
    return ""
