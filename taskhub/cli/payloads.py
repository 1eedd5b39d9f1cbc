"""Reads the JSON that somebody types, pipes or has in a file as the payload of a task."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from taskhub.cli import exits


def payload_of(text: str, option: str = "--payload") -> Any:
    """The value; `@FILE` reads a file, `-` the standard input."""
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise exits.Failure(exits.USAGE, f"{option}: {text[1:]} cannot be read") from error
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise exits.Failure(exits.USAGE, f"{option} is not JSON: {error}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
