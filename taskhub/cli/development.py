"""The throw-away key of `taskhub dev`, kept beside its data so that other commands find it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from taskhub.config.issuers import issuers
from taskhub.config.load import Loaded

KEY_FILE = Path("data/dev.key")
ISSUER = "taskhub-dev"
AUDIENCE = "taskhub"


def overrides(loaded: Loaded, folder: Path, *, make: bool) -> dict[str, str]:
    """Values for what the configuration leaves open about tokens.

    Empty when it says all (also when issuers publish their keys), or when there is no key yet and
    `make` is false. The key is made for our account alone; raises OSError when that cannot be.
    """
    if any(issuer.metadata for issuer in issuers(loaded.config.jwt)):
        return {}
    if loaded.config.jwt.issuer_signing_key:
        key = {}
    elif found := _key(folder / KEY_FILE, make=make):
        key = {"jwt.issuer_signing_key": found}
    else:
        return {}
    names = {"jwt.authority": ISSUER, "jwt.audience": AUDIENCE}
    return {**key, **{name: text for name, text in names.items() if _is_open(loaded, name)}}


def _is_open(loaded: Loaded, name: str) -> bool:
    return not getattr(loaded.config.jwt, name.partition(".")[2])


def _key(path: Path, *, make: bool) -> str:
    """The kept key, or a new one; nothing when there is none and none is wanted."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return _made(path) if make else ""


def _made(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(48)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another start was quicker by a hair
        return path.read_text().strip()
    with os.fdopen(fd, "w") as file:
        file.write(f"{key}\n")
    return key
