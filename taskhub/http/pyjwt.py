"""PyJWT as a kind of key needs it: for a secret without the cryptography it would take along."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

NAME, HIDDEN = "jwt", "cryptography"
HEAVY = "cryptography.hazmat.bindings._rust"


@cache
def pyjwt(*, for_public_keys: bool) -> Any:
    """The module. Without public keys it is 9 MB smaller, and a copy that nobody else gets to see:
    a handler in this process that imports PyJWT has all of it.
    """
    if for_public_keys or NAME in sys.modules or HEAVY in sys.modules:
        return importlib.import_module(NAME)
    before = sys.modules.get(HIDDEN)  # redis-py looks whether it is there, and no further
    sys.modules[HIDDEN] = None  # type: ignore[assignment]  # as the import system documents it
    try:
        return importlib.import_module(NAME)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]
        del sys.modules[HIDDEN]
        if before is not None:
            sys.modules[HIDDEN] = before
