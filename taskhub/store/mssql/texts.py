"""The statements of this folder as the driver takes them; which ones there are it does not know.

In the files names are written as in those of SQLite: a word in CamelCase is a name and is put in
brackets here; `:name` becomes the driver's `?`, once for each place where it stands.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from taskhub.store.sql import load

NAME = re.compile(r"'[^']*'|\[[^\]]*\]|@\w+|\b([A-Z][a-z]\w*)\b")
VALUE = re.compile(r"'[^']*'|(?<![:\w]):([a-z_]\w*)")


class Compiled(NamedTuple):
    """A text with `?`, and the names of the values that stand there."""

    text: str
    names: tuple[str, ...]


def statements() -> dict[str, str]:
    """Every statement, by its name."""
    return {name: spoken(text) for name, text in load("taskhub.store.mssql").items()}


def spoken(text: str) -> str:
    """A statement with its names in brackets; its values still have theirs."""
    return NAME.sub(lambda part: f"[{part[1]}]" if part[1] else part[0], text)


def compiled(text: str) -> Compiled:
    """A statement for the driver."""
    names: list[str] = []

    def placed(part: re.Match[str]) -> str:
        if not part[1]:
            return part[0]
        names.append(part[1])
        return "?"

    return Compiled(VALUE.sub(placed, text), tuple(names))
