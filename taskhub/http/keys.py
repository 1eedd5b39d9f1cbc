"""The keys that tokens are signed with: what a key is decides which algorithms are believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from taskhub.config import issuers
from taskhub.config.issuers import KEY_BYTES, Issuer
from taskhub.config.sections import JwtSection
from taskhub.errors import ConfigProblem

HMAC = ("HS256", "HS384", "HS512")
CANDIDATES = 16
"""Keys that one token is tried with, where it does not name its own."""


class SigningKey(msgspec.Struct, eq=False):
    """A key and the only algorithms that it may be used with.

    Never both families: a public key taken for an HMAC secret lets anybody sign (RFC 8725, 3.1).
    `is_gone`: its issuer has withdrawn it; whatever it has signed is worthless from then on.
    """

    value: Any
    algorithms: Sequence[str]
    kid: str = ""
    is_gone: bool = False

    def is_like(self, other: SigningKey) -> bool:
        """Whether both would believe the same tokens."""
        mine, theirs = (self.kid, self.algorithms), (other.kid, other.algorithms)
        return mine == theirs and bool(self.value == other.value)

    def __repr__(self) -> str:
        return f"SigningKey({'/'.join(self.algorithms)})"


class KeySet(msgspec.Struct, frozen=True):
    """The keys of one issuer at one time."""

    keys: tuple[SigningKey, ...] = ()

    def fitting(self, kid: str, algorithm: str) -> list[SigningKey]:
        """The keys that may have signed: of this id, or all where the token names none."""
        found = [
            key
            for key in self.keys
            if algorithm in key.algorithms and (not kid or key.kid in {"", kid})
        ]
        return found[:CANDIDATES]

    def has(self, kid: str) -> bool:
        """Whether there is a key of this id."""
        return any(key.kid == kid for key in self.keys)

    def renewed(self, keys: Sequence[SigningKey]) -> KeySet:
        """The set with these keys instead; what stays is the same object, what goes is marked."""
        kept = [next((old for old in self.keys if old.is_like(new)), new) for new in keys]
        for old in self.keys:
            old.is_gone = not any(old is key for key in kept)
        same = len(kept) == len(self.keys) and all(map(lambda a, b: a is b, kept, self.keys))
        return self if same else KeySet(tuple(kept))


def jwt_problems(section: JwtSection) -> list[ConfigProblem]:
    """Everything in `[jwt]` that keeps the API from serving."""
    wrongs = [*issuers.rules(section), *issuers.rules_to_serve(section)]
    if wrongs:
        return [ConfigProblem(*wrong) for wrong in wrongs]
    found = []
    for issuer in issuers.issuers(section):
        try:
            configured_key(issuer)
        except ConfigProblem as problem:
            found.append(problem)
    return found


def configured_key(issuer: Issuer) -> SigningKey | None:
    """The key that the configuration has for this issuer; None: the issuer publishes its own.

    Raises ConfigProblem, naming the setting and never its value.
    """
    secret = issuer.key.reveal()
    place = f"{issuer.place}.issuer_signing_key"
    if "-----BEGIN" in secret:
        return _public(secret.replace("\\n", "\n"), place)  # one line of an environment file
    raw = secret.encode()
    if raw and len(raw) < KEY_BYTES:
        raise ConfigProblem(place, f"expected at least {KEY_BYTES} bytes; this one is shorter")
    return SigningKey(raw, HMAC) if raw else None


def _public(pem: str, place: str) -> SigningKey:
    if "PRIVATE KEY" in pem:
        raise ConfigProblem(place, "expected a public key: the private one stays with the issuer")
    from taskhub.http.pem import algorithms_of, load  # only for this kind: it takes 6 MB

    key = load(pem.strip().encode())
    if key is None:
        raise ConfigProblem(place, "expected a public key in PEM; this one cannot be read")
    if algorithms := algorithms_of(key):
        return SigningKey(key, algorithms)
    kinds = "RSA of at least 2048 bits, a NIST curve, or Ed25519/Ed448"
    raise ConfigProblem(place, f"expected a key of a kind that is safe: {kinds}")
