"""The statements of this folder as the driver takes them; which ones there are it does not know.

In the files names are written as in those of SQLite: a word in CamelCase is a name and is quoted
here, `:name` and `?` become the driver's placeholders.
"""

from __future__ import annotations

import re

from taskhub.store.sql import load

PART = re.compile(
    r"(?P<literal>'[^']*')|\b(?P<name>[A-Z][a-z]\w*)\b|(?<![:\w]):(?P<value>[a-z_]\w*)|[?%]"
)


def statements() -> dict[str, str]:
    """Every statement, by its name."""
    return {name: spoken(text) for name, text in load("taskhub.store.postgres").items()}


def spoken(text: str) -> str:
    """A statement as the driver takes it."""
    return PART.sub(_spoken, text)


def _spoken(part: re.Match[str]) -> str:
    if literal := part["literal"]:
        return literal.replace("%", "%%")
    if part["name"]:
        return f'"{part[0]}"'
    if part["value"]:
        return f"%({part['value']})s"
    return "%s" if part[0] == "?" else "%%"
