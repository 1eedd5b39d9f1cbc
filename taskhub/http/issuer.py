"""Judges the tokens of one issuer: signature, times, audience, type; then reads the claims."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from taskhub.config.issuers import Issuer
from taskhub.http import claims as reading
from taskhub.http.keys import SigningKey
from taskhub.http.oidc.provider import Provider
from taskhub.http.problems import LongSubject

REQUIRED = {"require": ["exp", "iss", "aud"]}
PUBLISHED = frozenset(
    {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA"),
    }
)
"""Algorithms of keys that issuers publish; a token that names another one asks for no key."""
KID_LENGTH = 256
SUBJECT_LENGTH = 196
"""Columns of the database have 200 characters, and an Idempotency-Key's begins with `sub:`."""


class NoKeyFits(Exception):
    """None of the keys that the provider has given by now has signed this token."""

    def __init__(self, provider: Provider, kid: str) -> None:
        super().__init__()
        self.provider, self.kid = provider, kid


class Head(msgspec.Struct, frozen=True):
    """What a token's header says of the key, before anything is checked."""

    alg: str
    kid: str = ""


class Said(msgspec.Struct, frozen=True):
    """Which issuer a token says it is of, before anything is checked."""

    iss: str


class Proven(NamedTuple):
    """What a good token says."""

    subject: str
    key: str
    """Sets one client's Idempotency-Keys apart from another's."""
    scopes: frozenset[str]
    roles: frozenset[str]
    ends: float
    """The last second (since 1970) of its life, as far as our clock can tell."""
    signed_by: SigningKey


def said_issuer(token: str) -> str:
    """The `iss` of a token that nobody has checked; raises msgspec's errors or ValueError."""
    return msgspec.json.decode(_bytes(token.split(".")[1]), type=Said).iss


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Judge:
    """Judges the tokens of one issuer.

    `source` is the key of the configuration, or who publishes the keys. `others` are the names of
    the other issuers: subjects that begin like theirs are not ours to give.
    """

    def __init__(
        self, issuer: Issuer, source: SigningKey | Provider, library: Any, others: Collection[str]
    ) -> None:
        self._issuer, self._source = issuer, source
        self._jwt = library.PyJWT({"enforce_minimum_key_length": True})
        self._not_signed = (
            library.InvalidSignatureError,
            library.InvalidAlgorithmError,
            library.InvalidKeyError,
        )
        self._prefix = f"{issuer.name}/" if issuer.name else ""
        self._foreign = () if issuer.name else tuple(f"{name}/" for name in others)

    def judge(self, token: str) -> Proven:
        """What the token says; raises PyJWT's errors, ValueError and their like at a bad one.

        Raises NoKeyFits where a key that has not been fetched yet might have signed it, and
        LongSubject.
        """
        if isinstance(self._source, SigningKey):
            whole = self._decoded(token, self._source, self._issuer.authority)
            return self._proven(token, whole, self._source)
        head = msgspec.json.decode(_bytes(token.split(".", maxsplit=1)[0]), type=Head)
        if head.alg not in PUBLISHED or len(head.kid) > KID_LENGTH:
            raise ValueError("alg")
        return self._judge_by(self._source, token, head)

    def _judge_by(self, provider: Provider, token: str, head: Head) -> Proven:
        for key in provider.keys.fitting(head.kid, head.alg):
            try:
                whole = self._decoded(token, key, provider.name)
            except self._not_signed:
                continue
            return self._proven(token, whole, key)
        if head.kid and provider.keys.has(head.kid):
            raise ValueError("signature")
        raise NoKeyFits(provider, head.kid)

    def _decoded(self, token: str, key: SigningKey, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._jwt.decode_complete(
            token,
            key.value,
            algorithms=key.algorithms,
            audience=self._issuer.audience,
            issuer=name,
            leeway=self._issuer.leeway,
            options=REQUIRED,
        )
        return found

    def _proven(self, token: str, whole: dict[str, Any], key: SigningKey) -> Proven:
        """Read the claims; raises ValueError at what PyJWT lets pass and we do not."""
        claims = whole["payload"]
        reading.refuse_others(whole["header"], claims)
        expires = claims["exp"]
        if type(expires) not in {int, float}:
            raise ValueError("exp")
        subject = self._subject(claims)
        return Proven(
            subject=subject,
            key=f"sub:{subject}" if subject else f"token:{_digest(token)}",
            scopes=frozenset(reading.scopes(claims, self._issuer)),
            roles=frozenset(reading.roles(claims, self._issuer)),
            ends=expires + self._issuer.leeway,
            signed_by=key,
        )

    def _subject(self, claims: reading.Claims) -> str:
        """`NAME/sub` of an issuer with a name: its alice is not the alice of another one."""
        subject = reading.subject(claims)
        if subject.startswith(self._foreign):
            raise ValueError("sub")
        whole = self._prefix + subject if subject else ""
        if len(whole) > SUBJECT_LENGTH:
            raise LongSubject
        return whole


def _digest(token: str) -> str:
    return blake2b(token.encode(), digest_size=16).hexdigest()


def needs_public_keys(sources: Sequence[SigningKey | Provider]) -> bool:
    """Whether any of them is more than a secret."""
    return any(
        isinstance(source, Provider) or not isinstance(source.value, bytes) for source in sources
    )
