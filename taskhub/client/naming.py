"""Our names and values as the API and its header fields write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_CAMEL = re.compile(r"_([a-z])")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def query_of(where: Mapping[str, Any]) -> dict[str, str]:
    """A filter as the API names it."""
    return {_camel(name): _text(value) for name, value in where.items() if value is not None}


def _text(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def members_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """A new task as the API names it, and those that follow it."""
    body = {_camel(name): value for name, value in said.items()}
    if "then" in body:
        body["then"] = [members_of(step) for step in body["then"]]
    return body


def _camel(name: str) -> str:
    return _CAMEL.sub(lambda found: found[1].upper(), name)


def quoted(key: str) -> str:
    """A key as a string of RFC 9651; raises ValueError."""
    if not _KEY.fullmatch(key):
        raise ValueError("a key is 1 to 255 printable characters of ASCII")
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
