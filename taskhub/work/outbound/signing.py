"""Signatures of what we send, as Standard Webhooks has them (www.standardwebhooks.com)."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256

from taskhub.config.signing import PREFIX

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def signed(secrets: str, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that say which message this is, of when, and prove who sent it.

    There is one signature for each secret; without one there is no such header.
    """
    content = b"%b.%d.%b" % (message.encode(), timestamp, body)
    macs = [b64encode(hmac.digest(key, content, sha256)).decode() for key in _keys(secrets)]
    told = {ID: message, TIMESTAMP: str(timestamp)}
    return told | {SIGNATURE: " ".join(f"v1,{mac}" for mac in macs)} if macs else told


def _keys(secrets: str) -> Sequence[bytes]:
    return [b64decode(secret.removeprefix(PREFIX)) for secret in secrets.split()]
