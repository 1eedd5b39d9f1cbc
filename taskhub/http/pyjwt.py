"""PyJWT as a kind of key needs it: for a secret without the cryptography it would take along."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

from taskhub.kernel.imports import import_without

NAME, HIDDEN = "jwt", "cryptography"
HEAVY = "cryptography.hazmat.bindings._rust"


@cache
def pyjwt(*, for_public_keys: bool) -> Any:
    """The module. Without public keys it is 9 MB smaller, and a copy that nobody else gets to see:
    a handler in this process that imports PyJWT has all of it.
    """
    if for_public_keys or NAME in sys.modules or HEAVY in sys.modules:
        return importlib.import_module(NAME)
    try:  # it may be there already: redis-py looks whether it is, and no further
        return import_without(HIDDEN, NAME)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]
