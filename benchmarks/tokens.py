"""What a token costs: the first check of each algorithm, and every later one.

Usage: python -m benchmarks.tokens
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from uuid_utils import uuid7

from taskhub.config.issuers import issuers
from taskhub.config.sections import JwtSection
from taskhub.http.auth import Verifier
from taskhub.http.oidc.keyring import Keyring

ISSUER = "https://bench.example"
FIRST, LATER = 2_000, 200_000
ROUNDS = 5


def private_keys() -> dict[str, Any]:
    """A key for each algorithm that issuers publish most."""
    return {
        "RS256": rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


async def verifier_of(keys: dict[str, Any]) -> Verifier:
    """One that has fetched these keys from an issuer without a network."""
    members = [
        {**get_default_algorithms()[name].to_jwk(key.public_key(), as_dict=True), "kid": name}
        for name, key in keys.items()
    ]
    documents = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}, {"keys": members}

    async def fetch(address: str) -> bytes:
        return msgspec.json.encode(documents[address.endswith("/jwks")])

    section = JwtSection(authority=ISSUER, audience="taskhub")
    keyring = Keyring(fetch=fetch)
    verifier = Verifier(section, keyring=keyring)
    for provider in keyring.hold(issuers(section)).values():
        await provider.look()
    return verifier


async def measure(verifier: Verifier, key: Any, name: str) -> tuple[float, float]:
    """Microseconds of a first check and of a later one; the best of some rounds."""
    first = later = float("inf")
    for _ in range(ROUNDS):
        headers = [header(key, name) for _ in range(FIRST)]
        start = time.perf_counter()
        for each in headers:
            await verifier.find(each)
        first = min(first, (time.perf_counter() - start) / FIRST)
        start = time.perf_counter()
        for _ in range(LATER):
            await verifier.find(headers[-1])
        later = min(later, (time.perf_counter() - start) / LATER)
    return first * 1e6, later * 1e6


def header(key: Any, name: str) -> str:
    """A field with a token that nobody has seen."""
    claims = {
        "iss": ISSUER,
        "aud": "taskhub",
        "sub": "bench",
        "scope": "tasks.write",
        "exp": int(time.time()) + 36_000,
        "jti": str(uuid7()),
    }
    return "Bearer " + jwt.encode(claims, key, name, headers={"kid": name})


async def main() -> None:
    """Print a table."""
    keys = private_keys()
    verifier = await verifier_of(keys)
    print("algorithm  first us  later us")
    for name, key in keys.items():
        first, later = await measure(verifier, key, name)
        print(f"{name:<11}{first:>8.1f}{later:>10.2f}")


if __name__ == "__main__":
    asyncio.run(main())
