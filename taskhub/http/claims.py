"""What a verified token says: that it is an access token, of whom, with which scopes and roles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from taskhub.config.issuers import Issuer

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Types of tokens (`typ` of the header) that may be access tokens."""
SURELY_ACCESS = frozenset({"at+jwt", "application/at+jwt"})
ACCESS = frozenset({"access", "access_token", "bearer", "jwt", "at+jwt"})
"""The same as some issuers say it in the claims `typ` and `token_use`."""
OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash")
"""Claims that the login of a person puts into ID tokens (OpenID Connect Core, 2 and 3.3.2.11)."""
PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

Claims = Mapping[str, Any]


def refuse_others(header: Claims, claims: Claims) -> None:
    """Raises ValueError at a token that is for something else than for asking an API."""
    if "crit" in header or "b64" in header:
        raise ValueError("header")
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise ValueError("typ")
    if "events" in claims or "cnf" in claims:  # RFC 8417; RFC 7800: a proof that we do not ask for
        raise ValueError("bound")
    if kind.lower() not in SURELY_ACCESS:
        _refuse_id_tokens(claims)


def _refuse_id_tokens(claims: Claims) -> None:
    """Where the header does not tell: Keycloak's `typ`, Cognito's `token_use`, a login's claims."""
    kinds = [claims[name] for name in ("typ", "token_use") if name in claims]
    if not all(isinstance(kind, str) and kind.lower() in ACCESS for kind in kinds):
        raise ValueError("typ")
    if not kinds and any(name in claims for name in OF_ID_TOKENS):
        raise ValueError("nonce")


def subject(claims: Claims) -> str:
    """`sub`, else `client_id`, as some issuers name programs; raises ValueError at an odd one.

    Never `azp`: where persons' tokens have no `sub` it would make one of all who use a client.
    """
    for name in ("sub", "client_id"):
        value = claims.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not PLAIN.fullmatch(value):
            raise ValueError(name)
        return value
    return ""


def scopes(claims: Claims, issuer: Issuer) -> Iterable[str]:
    """Of every claim that holds them: each a list, or one text with spaces."""
    for path in issuer.scope_claims:
        value = at(claims, path)
        yield from filter(None, value.split(" ") if isinstance(value, str) else _texts(value))


def roles(claims: Claims, issuer: Issuer) -> Iterable[str]:
    """Of every claim that holds them: each a list, or one role."""
    for path in issuer.role_claims:
        value = at(claims, path)
        yield from (value,) if isinstance(value, str) else _texts(value)


def at(claims: Claims, path: str) -> Any:
    """The claim of this name; where there is none, dots lead into claims: `realm_access.roles`."""
    if path in claims:
        return claims[path]
    for dot in (found.start() for found in re.finditer(r"\.", path)):
        inner = claims.get(path[:dot])
        if isinstance(inner, dict) and (value := at(inner, path[dot + 1 :])) is not None:
            return value
    return None


def _texts(value: Any) -> Iterable[str]:
    return (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
