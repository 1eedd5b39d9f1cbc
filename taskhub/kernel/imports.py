"""Imports a module as if another were not there: what it would take along stays out of memory."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def import_without(hidden: str, module: str) -> ModuleType:
    """Import `module`, which takes `hidden` along if it can; whoever wants that later gets it."""
    before = sys.modules.get(hidden)
    sys.modules[hidden] = None  # type: ignore[assignment]  # as the import system documents it
    try:
        return importlib.import_module(module)
    finally:
        del sys.modules[hidden]
        if before is not None:
            sys.modules[hidden] = before
