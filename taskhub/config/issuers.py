"""Whose tokens are believed: each issuer with everything filled in, and the rules of `[jwt]`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, urlsplit

import msgspec

from taskhub.config.keys import ISSUERS, JWT_SECTION
from taskhub.config.sections import IssuerSection, JwtSection, Secret
from taskhub.config.units import UNIT_NAME

Wrong = tuple[str, str]
"""The key, and what was expected."""

KEY_BYTES = 32  # RFC 7518, section 3.2: as long as the hash of HS256
ISSUERS_LIMIT = 32
CLAIMS_LIMIT, CLAIM_LENGTH = 16, 200
WELL_KNOWN = "/.well-known/openid-configuration"
SAFE_ADDRESS = "an https address without name, password and # (plain http only to this machine)"


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """One issuer of `[jwt]`, and how to read what it signs.

    `name` is empty for the one whose keys stand in `[jwt]` itself; `place` begins the names of its
    settings in messages. Either it has a `key`, or `metadata` says where it publishes its own.
    """

    name: str
    place: str
    authority: str
    audience: str
    key: Secret
    metadata: str
    scope_claims: tuple[str, ...]
    role_claims: tuple[str, ...]
    leeway: float


def issuers(jwt: JwtSection) -> list[Issuer]:
    """Every issuer; the one of `[jwt]` itself unless only others are described."""
    found = [_issuer(jwt, "", jwt)] if _is_described(jwt) or not jwt.issuers else []
    return found + [_issuer(jwt, name, section) for name, section in jwt.issuers.items()]


def _is_described(jwt: JwtSection) -> bool:
    return bool(jwt.authority or jwt.issuer_signing_key or jwt.metadata_address)


def _issuer(jwt: JwtSection, name: str, section: JwtSection | IssuerSection) -> Issuer:
    metadata = section.metadata_address
    if not metadata and not section.issuer_signing_key and not unsafe(section.authority):
        metadata = section.authority.rstrip("/") + WELL_KNOWN
    return Issuer(
        name=name,
        place=f"{JWT_SECTION}.{ISSUERS}.{name}" if name else JWT_SECTION,
        authority=section.authority,
        audience=section.audience or jwt.audience,
        key=section.issuer_signing_key,
        metadata=metadata,
        scope_claims=section.scope_claims or jwt.scope_claims,
        role_claims=section.role_claims or jwt.role_claims,
        leeway=jwt.leeway,
    )


def unsafe(address: str) -> bool:
    """Whether keys from this address could be anybody's: no TLS, and not this machine."""
    parts = _split(address)
    if parts is None or not parts.hostname or parts.username is not None or parts.fragment:
        return True
    return not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)))


def _split(address: str) -> SplitResult | None:
    if not address.isprintable() or " " in address:
        return None
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host of an address is this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    is_mapped = getattr(address, "ipv4_mapped", None) is not None  # Python's versions differ there
    return address.is_loopback and not is_mapped


# ---- rules


def rules(jwt: JwtSection) -> Iterator[Wrong]:
    """What is wrong whichever unit runs."""
    if len(jwt.issuers) > ISSUERS_LIMIT:
        yield f"{JWT_SECTION}.{ISSUERS}", f"expected at most {ISSUERS_LIMIT} issuers"
    for name in jwt.issuers:
        if not UNIT_NAME.fullmatch(name):
            wanted = "expected a name of small letters, digits and hyphens, at most 32"
            yield f"{JWT_SECTION}.{ISSUERS}.{name}.authority", wanted
    yield from _claims(JWT_SECTION, jwt)
    for name, section in jwt.issuers.items():
        yield from _claims(f"{JWT_SECTION}.{ISSUERS}.{name}", section)
    for issuer in issuers(jwt):
        yield from _keys(issuer)
    yield from _twins(issuers(jwt))


def rules_to_serve(jwt: JwtSection) -> Iterator[Wrong]:
    """What is missing where tokens are checked."""
    for issuer in issuers(jwt):
        if not issuer.key and not issuer.metadata:
            yield f"{issuer.place}.issuer_signing_key", _key_wanted(issuer)
        if not issuer.authority:
            yield f"{issuer.place}.authority", "expected the issuer of the tokens (their iss)"
        if not issuer.audience:
            yield f"{issuer.place}.audience", "expected the audience of the tokens (their aud)"


def _key_wanted(issuer: Issuer) -> str:
    return (
        f"expected an HMAC secret of at least {KEY_BYTES} bytes, or a public key in PEM; without "
        f"one {issuer.place}.authority must be {SAFE_ADDRESS}, where the keys are asked for"
    )


def _claims(place: str, section: JwtSection | IssuerSection) -> Iterator[Wrong]:
    for key, claims in (
        ("scope_claims", section.scope_claims),
        ("role_claims", section.role_claims),
    ):
        if len(claims) > CLAIMS_LIMIT or not all(0 < len(c) <= CLAIM_LENGTH for c in claims):
            yield (
                f"{place}.{key}",
                f"expected at most {CLAIMS_LIMIT} claims of 1 to {CLAIM_LENGTH} characters",
            )


def _keys(issuer: Issuer) -> Iterator[Wrong]:
    if wrong := _wrong_key(issuer.key.reveal()):
        yield f"{issuer.place}.issuer_signing_key", wrong
    if not issuer.metadata:
        return
    place = f"{issuer.place}.metadata_address"
    if issuer.key:
        yield place, f"expected either this or {issuer.place}.issuer_signing_key, not both"
    elif unsafe(issuer.metadata):
        yield place, f"expected {SAFE_ADDRESS}"


def _twins(found: Sequence[Issuer]) -> Iterator[Wrong]:
    """The `iss` of a token picks its issuer: two of one name could not be told apart."""
    first: dict[str, Issuer] = {}
    for issuer in found:
        other = first.setdefault(issuer.authority.rstrip("/"), issuer)
        if other is not issuer and issuer.authority:
            yield f"{issuer.place}.authority", f"expected another than {other.place}.authority"


def _wrong_key(key: str) -> str:
    """Says what is wrong with the key without a letter of it."""
    if "-----BEGIN" in key:
        return _wrong_pem(key)
    if key and len(key.encode()) < KEY_BYTES:
        return f"expected at least {KEY_BYTES} bytes: shorter secrets can be guessed"
    return ""


def _wrong_pem(pem: str) -> str:
    if "PRIVATE KEY" in pem:
        return "expected the public key: the private one stays with the issuer"
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    data = pem.replace("\\n", "\n").strip().encode()  # one line of an environment file
    try:
        load = load_pem_x509_certificate if b"BEGIN CERTIFICATE" in data else load_pem_public_key
        load(data)
    except (ValueError, UnsupportedAlgorithm):
        return "this PEM holds no public key that can be read"
    return ""
