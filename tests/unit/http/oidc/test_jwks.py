"""Key sets: which members are believed, and what for."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from taskhub.http.keys import KeySet, SigningKey
from taskhub.http.oidc.jwks import KEYS_LIMIT, usable

from tests.unit.http.oidc.publisher import RSA_KEYS, public_jwk

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = public_jwk(RSA_KEYS[0], "RS256")
EC = public_jwk(P256, "ES256")
ED = public_jwk(ed25519.Ed25519PrivateKey.generate(), "EdDSA")
SIX = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


GOOD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "RSA": (RSA, SIX),
    "RSA for one algorithm": (RSA | {"alg": "PS256"}, ("PS256",)),
    "for signatures": (RSA | {"use": "sig", "key_ops": ["verify"]}, SIX),
    "as Entra writes it": (RSA | {"use": "sig", "x5t": "x", "x5c": ["MII"], "kid": "k"}, SIX),
    "P-256": (EC, ("ES256",)),
    "P-384": (public_jwk(ec.generate_private_key(ec.SECP384R1()), "ES384"), ("ES384",)),
    "P-521": (public_jwk(ec.generate_private_key(ec.SECP521R1()), "ES512"), ("ES512",)),
    "Ed25519": (ED, ("EdDSA",)),
    "Ed25519 by its new name": (ED | {"alg": "Ed25519"}, ("EdDSA",)),
    "Ed448": (public_jwk(ed448.Ed448PrivateKey.generate(), "EdDSA"), ("EdDSA",)),
}


@pytest.mark.parametrize(("jwk", "algorithms"), GOOD.values(), ids=GOOD.keys())
def test_a_key_is_for_the_algorithms_of_its_type(
    jwk: dict[str, Any], algorithms: tuple[str, ...]
) -> None:
    """And of those for what its owner names; never for what a token says."""
    (key,) = usable([jwk])

    assert key.algorithms == algorithms


def small() -> dict[str, Any]:
    """An RSA key that can be factored."""
    weak = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - refused
    return public_jwk(weak, "RS256")


USELESS: dict[str, Any] = {
    "for encryption": RSA | {"use": "enc"},
    "an algorithm for encryption": RSA | {"alg": "RSA-OAEP"},
    "an algorithm of another type": RSA | {"alg": "ES256"},
    "an algorithm of another curve": EC | {"alg": "ES384"},
    "an HMAC algorithm": RSA | {"alg": "HS256"},
    "an algorithm that is none": RSA | {"alg": ["RS256"]},
    "only for signing": RSA | {"key_ops": ["sign"]},
    "operations that are none": RSA | {"key_ops": "verify"},
    "a use that is none": RSA | {"use": 5},
    "a secret": {"kty": "oct", "k": "c2VjcmV0"},
    "no type": {"n": "x"},
    "a type that is none": {"kty": ["RSA"]},
    "an unknown type": {"kty": "AKP"},
    "private RSA": RSAAlgorithm.to_jwk(RSA_KEYS[0], as_dict=True) | {"key_ops": ["verify"]},
    "private EC": ECAlgorithm.to_jwk(P256, as_dict=True),
    "private Ed25519": OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate(), as_dict=True),
    "small RSA": small(),
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "a modulus that is none": RSA | {"n": 5},
    "an even exponent": RSA | {"e": "Ag"},
    "a point off the curve": EC | {"x": EC["y"]},
    "an unknown curve": EC | {"crv": "secp256k1"},
    "a short point": ED | {"x": "AA"},
    "kid as a number": RSA | {"kid": 5},
    "a long kid": RSA | {"kid": "k" * 1_000},
    "no object": "key",
    "null": None,
}


@pytest.mark.parametrize("jwk", USELESS.values(), ids=USELESS.keys())
def test_a_member_that_is_useless_spoils_nothing(jwk: Any) -> None:
    """RFC 7517, 5: what is not understood is ignored; the good key beside it counts."""
    found = usable([jwk, EC | {"kid": "good"}])

    assert [key.kid for key in found] == ["good"]


def test_a_set_is_bounded() -> None:
    """However many keys somebody publishes."""
    assert len(usable([ED] * (KEYS_LIMIT + 50))) == KEYS_LIMIT


def test_keys_of_one_id_are_told_apart_by_what_they_are_for() -> None:
    """Some issuers give the same id to an RSA key and to one for EC."""
    keys = KeySet(tuple(usable([RSA | {"kid": "k"}, EC | {"kid": "k"}, ED | {"kid": "other"}])))

    assert [key.algorithms for key in keys.fitting("k", "ES256")] == [("ES256",)]
    assert [key.algorithms for key in keys.fitting("k", "RS512")] == [SIX]
    assert keys.fitting("k", "EdDSA") == []
    assert [key.kid for key in keys.fitting("", "EdDSA")] == ["other"]


def test_a_set_is_the_same_while_its_keys_are() -> None:
    """What stays is the same object, for tokens are bound to it; what goes is marked."""
    first = KeySet(tuple(usable([RSA | {"kid": "a"}, EC | {"kid": "b"}])))
    a, b = first.keys

    assert first.renewed(usable([RSA | {"kid": "a"}, EC | {"kid": "b"}])) is first
    second = first.renewed(usable([EC | {"kid": "b"}, ED | {"kid": "c"}]))

    assert second.keys[0] is b
    assert (a.is_gone, b.is_gone) == (True, False)
    third = second.renewed(usable([RSA | {"kid": "b"}]))
    assert (b.is_gone, third.keys[0] is b) == (True, False)


def test_a_key_does_not_show_itself() -> None:
    """Not even a public one: a secret looks the same."""
    assert repr(SigningKey(b"secret", ("HS256",), "k")) == "SigningKey(HS256)"
