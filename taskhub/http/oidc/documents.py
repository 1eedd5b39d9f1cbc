"""Asks a provider for its keys: the discovery document, then the key set it points at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from taskhub.config.issuers import Issuer, unsafe
from taskhub.http.keys import SigningKey
from taskhub.http.oidc.fetching import Unfit

Fetch = Callable[[str], Awaitable[bytes]]
SHOWN = 120


class Metadata(msgspec.Struct, frozen=True):
    """What we need of a discovery document (OpenID Connect Discovery, 3; RFC 8414, 2)."""

    issuer: str = ""
    jwks_uri: str = ""
    keys: list[Any] | None = None
    """There when the address is that of a key set itself: then nothing is left to discover."""


class Published(msgspec.Struct, frozen=True):
    """What an issuer publishes: its exact name (`iss`), and its keys for signatures."""

    name: str
    keys: list[SigningKey]


async def ask(issuer: Issuer, fetch: Fetch) -> Published:
    """Ask anew; raises Unfit with the reason when there is no key that could be used."""
    found = _decoded(await fetch(issuer.metadata))
    name, members = issuer.authority, found.keys
    if members is None:
        name = _same(issuer, found.issuer)
        members = _decoded(await fetch(_key_address(issuer, found.jwks_uri))).keys
    from taskhub.http.oidc.jwks import usable  # takes cryptography along

    if keys := usable(members or []):
        return Published(name, keys)
    raise Unfit("it publishes no key that can be used")


def _decoded(body: bytes) -> Metadata:
    try:
        return msgspec.json.decode(body, type=Metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unfit("it answers with something else than the JSON that was expected") from None


def _same(issuer: Issuer, name: str) -> str:
    """The issuer's own name of itself, which tokens must say exactly (a slash may be added)."""
    if name.rstrip("/") == issuer.authority.rstrip("/"):
        return name
    shown = ascii(name[:SHOWN])[1:-1]
    raise Unfit(f"it calls itself {shown}: {issuer.place}.authority must be the same")


def _key_address(issuer: Issuer, address: str) -> str:
    """Raises Unfit where the keys would come from a less safe place than the document."""
    is_weaker = urlsplit(issuer.metadata).scheme == "https" and urlsplit(address).scheme != "https"
    if unsafe(address) or is_weaker:
        raise Unfit("it names no safe address (https) for its keys")
    return address
