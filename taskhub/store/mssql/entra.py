"""Tokens of Entra ID in place of a password; the library that gets them is optional."""

from __future__ import annotations

import struct
import threading
from importlib.util import find_spec
from typing import Any

from taskhub.errors import StoreDown

SCOPES = {
    ".usgovcloudapi.net": "https://database.usgovcloudapi.net/.default",
    ".chinacloudapi.cn": "https://database.chinacloudapi.cn/.default",
}
SCOPE = "https://database.windows.net/.default"
MISSING = "authentication=entra needs azure-identity: pip install azure-identity"
REFUSED = "Entra ID gives no token for the database: look at the identity of this host."
SHOWN = 300
"""Characters of what the library says that are told."""


class Entra:
    """Gets a token for each connection; the library keeps one until it is about to end."""

    def __init__(self) -> None:
        """Make ready; nothing is imported or asked before the first token."""
        self._lock = threading.Lock()
        self._credential: Any = None

    def token(self, host: str, identity: str) -> bytes:
        """A token as the driver takes it; raises StoreDown where there is none."""
        with self._lock:
            if self._credential is None:
                self._credential = _credential(identity)
            try:
                token: str = self._credential.get_token(scope_of(host)).token
            except Exception as error:  # noqa: BLE001 - each way to a token has errors of its own
                said = str(error).partition("\n")[0][:SHOWN]
                raise StoreDown(REFUSED) from RuntimeError(said)
        return packed(token)


def _credential(identity: str) -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=identity or None)


def is_here() -> bool:
    """Whether there is a library that gets tokens."""
    try:
        return find_spec("azure.identity") is not None
    except ModuleNotFoundError:
        return False


def scope_of(host: str) -> str:
    """What a token is asked for, in the cloud in which the server is."""
    return next((scope for end, scope in SCOPES.items() if host.endswith(end)), SCOPE)


def packed(token: str) -> bytes:
    """A token as the driver takes it: its length, and its letters in UTF-16."""
    letters = token.encode("utf-16-le")
    return struct.pack(f"<I{len(letters)}s", len(letters), letters)
