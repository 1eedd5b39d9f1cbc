"""`taskhub token`: signs a token with the configured secret, or with the one of `taskhub dev`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from taskhub.cli import development, exits, options, say
from taskhub.config.issuers import issuers
from taskhub.config.load import Loaded
from taskhub.config.sections import JwtSection

SCOPES = ("tasks.read", "tasks.write")
YEAR = 366 * 86_400


@click.command()
@click.option("--sub", default="developer", show_default=True, help="Who the token speaks for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help=f"A scope; may be repeated [default: {' and '.join(SCOPES)}].",
)
@click.option("--role", "roles", multiple=True, help="A role, such as Operator; may be repeated.")
@click.option(
    "--ttl",
    type=click.FloatRange(min=1, max=YEAR),
    default=3_600,
    show_default=True,
    help="Seconds until it ends.",
)
@options.config_options
def token(
    sub: str,
    scopes: tuple[str, ...],
    roles: tuple[str, ...],
    ttl: float,
    *,
    path: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Make a token from the configured secret (HS256), the way an issuer would.

    Without a configured secret it takes the throw-away key that `taskhub dev` keeps in
    data/dev.key of this folder.
    """
    found = with_development_key(options.loaded(path, overrides))
    say.data(minted(found.config.jwt, sub, scopes or SCOPES, roles, ttl))


def with_development_key(found: Loaded) -> Loaded:
    """The configuration, completed by what `taskhub dev` keeps in this folder."""
    extra = development.overrides(found, Path.cwd(), make=False)
    return options.loaded_again(found, extra) if extra else found


def minted(
    section: JwtSection, sub: str, scopes: Sequence[str], roles: Sequence[str], ttl: float
) -> str:
    """A signed token; ends the command when there is no secret to sign with."""
    import jwt

    secret = section.issuer_signing_key.reveal()
    if not secret and any(issuer.metadata for issuer in issuers(section)):
        raise exits.Failure(
            exits.USAGE,
            "the issuer publishes its keys: only it makes tokens; where the service has a key of "
            "its own: Jwt__IssuerSigningKey_FILE=/etc/credstore/taskhub.jwt.issuer_signing_key",
        )
    if not secret:
        raise exits.Failure(
            exits.USAGE,
            "there is no secret to sign with: set jwt.issuer_signing_key, "
            "or run `taskhub dev` in this folder first",
        )
    if "-----BEGIN" in secret:
        raise exits.Failure(
            exits.USAGE, "jwt.issuer_signing_key is a public key: only its issuer makes tokens"
        )
    return jwt.encode(_claims(section, sub, scopes, roles, ttl), secret, algorithm="HS256")


def _claims(
    section: JwtSection, sub: str, scopes: Sequence[str], roles: Sequence[str], ttl: float
) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": section.authority,
        "aud": section.audience,
        "sub": sub,
        "iat": now,
        "exp": now + int(ttl),
        "scope": " ".join(scopes),
    }
    return {**claims, "roles": list(roles)} if roles else claims
