"""Who asks: bearer tokens (JWT, RFC 7519 and 9068) become principals; it decides no rights."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from taskhub.config.sections import JwtSection
from taskhub.http.keys import HMAC, SigningKey
from taskhub.http.problems import BadToken
from taskhub.http.pyjwt import pyjwt

TOKEN_LIMIT = 8_192
CACHE_LIMIT = 4_096
CACHE_SECONDS = 60.0
ROLE_URI = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
"""The role claim as .NET issuers name it."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")

REFUSALS = (ValueError, TypeError, OverflowError, RecursionError)
"""What PyJWT raises at tokens made to hurt, beside its own errors: all of it means no."""


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Who asks, as one verified token says.

    `subject` may be empty (a token without `sub`); `key` never is: it sets one client's
    Idempotency-Keys apart from another's. `until` is the time (seconds since 1970) up to which
    this may be believed without looking at the token again.
    """

    subject: str
    key: str
    scopes: frozenset[str]
    roles: frozenset[str]
    until: float


class Verifier:
    """Checks tokens against one key, issuer and audience; remembers those that were good.

    Raises ConfigProblem, naming the setting and never its value, when it cannot be made.
    """

    def __init__(self, section: JwtSection, clock: Callable[[], float] = time.time) -> None:
        self._key = SigningKey.from_section(section)
        self._issuer, self._audience = section.authority, section.audience
        self._leeway = section.leeway
        self._clock = clock
        library = pyjwt(for_public_keys=self._key.algorithms != HMAC)
        self._jwt = library.PyJWT({"enforce_minimum_key_length": True})
        self._refusals = (library.PyJWTError, *REFUSALS)
        self._good: dict[str, Principal] = {}

    def principal(self, header: str) -> Principal:
        """Who sent this `Authorization` field; raises BadToken, whatever the reason."""
        known = self._good.get(header)
        if known is not None and self._clock() < known.until:
            return known
        self._good.pop(header, None)
        found = self._check(header)
        if len(self._good) >= CACHE_LIMIT:
            del self._good[next(iter(self._good))]
        self._good[header] = found
        return found

    def remembers(self, header: str) -> bool:
        """Whether this field was good before: then it is no guess, though it may have ended."""
        return header in self._good

    def _check(self, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or len(token) > TOKEN_LIMIT or not TOKEN.fullmatch(token):
            raise BadToken
        try:
            whole = self._jwt.decode_complete(
                token,
                self._key.value,
                algorithms=self._key.algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
            return self._principal(whole["header"], whole["payload"], token)
        except self._refusals:
            raise BadToken from None

    def _principal(self, header: dict[str, Any], claims: dict[str, Any], token: str) -> Principal:
        """Read the claims; raises ValueError at what PyJWT lets pass and we do not."""
        if "crit" in header or "b64" in header or not _has_good_type(header):
            raise ValueError("header")
        expires = claims["exp"]
        if type(expires) not in {int, float}:
            raise ValueError("exp")
        subject = _subject(claims)
        return Principal(
            subject=subject,
            key=f"sub:{subject}" if subject else f"token:{_digest(token)}",
            scopes=frozenset(_scopes(claims)),
            roles=frozenset(_roles(claims)),
            until=min(expires + self._leeway, self._clock() + CACHE_SECONDS),
        )


def _digest(token: str) -> str:
    return blake2b(token.encode(), digest_size=16).hexdigest()


def _has_good_type(header: dict[str, Any]) -> bool:
    kind = header.get("typ")
    return kind is None or (isinstance(kind, str) and kind.lower() in TYPES)


def _subject(claims: dict[str, Any]) -> str:
    """`sub`, else what issuers put there for programs; raises ValueError at an odd one."""
    for name in ("sub", "client_id", "azp"):
        value = claims.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not PLAIN.fullmatch(value):
            raise ValueError(name)
        return value
    return ""


def _scopes(claims: dict[str, Any]) -> Iterable[str]:
    """`scope` and `scp`: each a list, or one text with spaces."""
    for name in ("scope", "scp"):
        value = claims.get(name)
        yield from filter(None, value.split(" ") if isinstance(value, str) else _texts(value))


def _roles(claims: dict[str, Any]) -> Iterable[str]:
    """`role`, `roles` and .NET's claim: each a list, or one role."""
    for name in ("role", "roles", ROLE_URI):
        value = claims.get(name)
        yield from (value,) if isinstance(value, str) else _texts(value)


def _texts(value: Any) -> Iterable[str]:
    return (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
