"""Signatures of what we send, as Standard Webhooks has them (www.standardwebhooks.com)."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256

from taskhub.config.signing import PREFIX

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def signed(secrets: str, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent `body`, one signature for each secret; none without one."""
    keys = _keys(secrets)
    if not keys:
        return {}
    content = b"%b.%d.%b" % (message.encode(), timestamp, body)
    signatures = [b64encode(hmac.digest(key, content, sha256)).decode() for key in keys]
    return {
        ID: message,
        TIMESTAMP: str(timestamp),
        SIGNATURE: " ".join(f"v1,{signature}" for signature in signatures),
    }


def _keys(secrets: str) -> Sequence[bytes]:
    return [b64decode(secret.removeprefix(PREFIX)) for secret in secrets.split()]
