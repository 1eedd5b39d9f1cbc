"""Reads a JSON Web Key Set (RFC 7517): those keys for signatures that are safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWTError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from taskhub.http.keys import SigningKey
from taskhub.http.pem import algorithms_of

KEYS_LIMIT = 100
KID_LENGTH = 256
MAKERS: Mapping[str, Callable[[Any], Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
"""How a key of each type is made; `oct` is none of them: a secret that is published is none."""
EDDSA = {"Ed25519": "EdDSA", "Ed448": "EdDSA"}
"""New names (RFC 9864) of what tokens call EdDSA."""
REFUSALS = (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError)


def usable(members: Sequence[Any]) -> list[SigningKey]:
    """Those members of a set that are public keys for signatures; others are no mistake."""
    found = (_key(member) for member in members[:KEYS_LIMIT] if isinstance(member, dict))
    return [key for key in found if key is not None]


def _key(jwk: dict[str, Any]) -> SigningKey | None:
    """None: for something else, of an unknown kind, unsafe, broken, or no longer secret (`d`)."""
    kind, kid = jwk.get("kty"), jwk.get("kid", "")
    make = MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None or "d" in jwk or not _is_for_signatures(jwk):
        return None
    if not isinstance(kid, str) or len(kid) > KID_LENGTH:
        return None
    try:
        value = make(jwk)
    except REFUSALS:
        return None
    algorithms = _allowed(algorithms_of(value), jwk.get("alg"))
    return SigningKey(value, algorithms, kid) if algorithms else None


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    use, operations = jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    return use == "sig" and isinstance(operations, list) and "verify" in operations


def _allowed(algorithms: Sequence[str], named: Any) -> tuple[str, ...]:
    """What the key's type allows, and of that what its owner has named."""
    if named is None:
        return tuple(algorithms)
    return tuple(name for name in algorithms if name == EDDSA.get(str(named), named))
