"""Public keys in PEM, and the only algorithms that each kind may be used with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

RSA_BITS = 2_048
RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}


def load(pem: bytes) -> Any:
    """The public key of a key or a certificate; None when it cannot be read."""
    try:
        if pem.startswith(b"-----BEGIN CERTIFICATE"):
            return load_pem_x509_certificate(pem).public_key()
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return None


def algorithms_of(key: Any) -> Sequence[str]:
    """What a key is good for; nothing when it is of a kind that is not safe."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS:
        return RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return CURVES.get(key.curve.name, ())
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return ("EdDSA",)
    return ()
