"""What a secret that messages are signed with looks like (www.standardwebhooks.com)."""

from __future__ import annotations

import binascii
from base64 import b64decode

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key."""
SECRETS = 4
"""At once: the new one and those that receivers still know."""

EXPECTED = f"expected {PREFIX} and the base64 of {SHORTEST} to {LONGEST} random bytes"


def wrong_secrets(text: str) -> str:
    """What is wrong with one secret, or several with blanks between; no letter of it is said."""
    secrets = text.split()
    if len(secrets) > SECRETS:
        return f"expected at most {SECRETS} secrets"
    return "" if all(map(_is_secret, secrets)) else EXPECTED


def _is_secret(text: str) -> bool:
    try:
        key = b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(PREFIX) and SHORTEST <= len(key) <= LONGEST
