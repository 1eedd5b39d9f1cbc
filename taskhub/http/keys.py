"""The key that tokens are signed with: what it is decides which algorithms are believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from taskhub.config.sections import JwtSection
from taskhub.errors import ConfigProblem

SECRET_BYTES = 32
HMAC = ("HS256", "HS384", "HS512")
KEY = "jwt.issuer_signing_key"


class SigningKey(msgspec.Struct, frozen=True):
    """A key and the only algorithms that it may be used with.

    Never both families: a public key taken for an HMAC secret lets anybody sign (RFC 8725, 3.1).
    """

    value: Any
    algorithms: Sequence[str]

    @classmethod
    def from_section(cls, section: JwtSection) -> SigningKey:
        """The key of `[jwt]`; raises ConfigProblem at the first mistake."""
        for problem in jwt_problems(section):
            raise problem
        return _read(section.issuer_signing_key.reveal())

    def __repr__(self) -> str:
        return f"SigningKey({'/'.join(self.algorithms)})"


def jwt_problems(section: JwtSection) -> list[ConfigProblem]:
    """Everything in `[jwt]` that keeps the API from serving."""
    found = []
    if not section.authority:
        found.append(ConfigProblem("jwt.authority", "expected the issuer of the tokens (iss)"))
    if not section.audience:
        found.append(ConfigProblem("jwt.audience", "expected the audience of the tokens (aud)"))
    secret = section.issuer_signing_key.reveal()
    if secret:
        found += _key_problems(secret)
    elif section.metadata_address:
        wanted = f"not supported yet, set {KEY}"
        found.append(ConfigProblem("jwt.metadata_address", wanted))
    else:
        wanted = f"expected a secret of at least {SECRET_BYTES} bytes, or a public key in PEM"
        found.append(ConfigProblem(KEY, wanted))
    return found


def _key_problems(secret: str) -> list[ConfigProblem]:
    try:
        _read(secret)
    except ConfigProblem as problem:
        return [problem]
    return []


def _read(secret: str) -> SigningKey:
    if "-----BEGIN" in secret:
        return _public(secret.replace("\\n", "\n"))  # one line of an environment file
    raw = secret.encode()
    if len(raw) < SECRET_BYTES:
        raise ConfigProblem(KEY, f"expected at least {SECRET_BYTES} bytes; this one is shorter")
    return SigningKey(raw, HMAC)


def _public(pem: str) -> SigningKey:
    if "PRIVATE KEY" in pem:
        raise ConfigProblem(KEY, "expected a public key: the private one stays with the issuer")
    from taskhub.http.pem import algorithms_of, load  # only for this kind: it takes 6 MB

    key = load(pem.strip().encode())
    if key is None:
        raise ConfigProblem(KEY, "expected a public key in PEM; this one cannot be read")
    if algorithms := algorithms_of(key):
        return SigningKey(key, algorithms)
    kinds = "RSA of at least 2048 bits, a NIST curve, or Ed25519/Ed448"
    raise ConfigProblem(KEY, f"expected a key of a kind that is safe: {kinds}")
