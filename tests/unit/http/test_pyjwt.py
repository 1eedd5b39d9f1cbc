"""Public keys in a process that began without them: what a reload of `[jwt]` asks for."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, time
import redis.asyncio
from taskhub.config.sections import JwtSection, Secret
from taskhub.http.auth import Verifier
from taskhub.http.pyjwt import pyjwt
from taskhub.http.problems import BadToken

def verifier(key):
    section = JwtSection(authority="us", audience="taskhub", issuer_signing_key=Secret(key))
    return Verifier(section)

light = pyjwt(for_public_keys=False)

def header(key, algorithm, jwt=light):
    claims = {"iss": "us", "aud": "taskhub", "sub": "ann", "exp": int(time.time()) + 60}
    return "Bearer " + jwt.encode(claims, key, algorithm)

secret = "s" * 32
by_secret = verifier(secret)
assert by_secret.principal(header(secret, "HS256")).subject == "ann"
assert "cryptography.hazmat.bindings._rust" not in sys.modules, "9 MB for nothing"

import jwt  # as a handler in the same process may do
assert jwt is not light
assert jwt.algorithms.has_crypto

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
for private, algorithm in (
    (rsa.generate_private_key(65537, 2048), "RS256"),
    (ec.generate_private_key(ec.SECP256R1()), "ES256"),
    (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
):
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    by_key = verifier(pem.decode())
    assert by_key.principal(header(private, algorithm, jwt)).subject == "ann", algorithm
    for bad in (header(private, algorithm, jwt)[:-8] + "AAAAAAAA", header(secret, "HS256")):
        try:
            by_key.principal(bad)
        except BadToken:
            continue
        raise AssertionError(f"{algorithm} takes what it must not")
assert by_secret.principal(header(secret, "HS256")).subject == "ann"
print("all is well")
"""


def test_a_secret_needs_no_cryptography_but_a_public_key_and_others_have_it() -> None:
    """Most have a secret; an installation that changes to a public key must need no restart."""
    program = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout, done.stderr) == ("all is well\n", "")
