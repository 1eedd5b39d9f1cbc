"""Statements by name from `.sql` files, each with its sentence; it knows no database.

A file is a row of blocks with an empty line between them. `-- name: sentence` begins a statement,
`-- name = sentence` a fragment that other blocks of the same package include as `{name}`. The other
comment lines are for the reader and are not sent.
"""

from __future__ import annotations

import re
from importlib.resources import files

BLOCK = re.compile(r"^-- (?P<name>[a-z_]+) ?(?P<kind>[:=]) \S.*\n(?P<body>(?:.*\S.*\n?)+)")
INCLUDE = re.compile(r"\{([a-z_]+)\}")


def load(package: str) -> dict[str, str]:
    """Every statement of the package's `.sql` files, its fragments filled in."""
    blocks: dict[str, str] = {}
    fragments: set[str] = set()
    texts = (entry for entry in files(package).iterdir() if entry.name.endswith(".sql"))
    for part in "\n\n".join(text.read_text(encoding="utf-8") for text in texts).split("\n\n"):
        if block := BLOCK.match(part.lstrip("\n") + "\n"):
            name = block["name"]
            if name in blocks:
                raise ValueError(f"two statements are called {name}")
            blocks[name] = _without_comments(block["body"])
            fragments |= {name} if block["kind"] == "=" else set()
    return {name: _filled(text, blocks) for name, text in blocks.items() if name not in fragments}


def _without_comments(body: str) -> str:
    lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).removesuffix(";")


def _filled(text: str, blocks: dict[str, str]) -> str:
    return INCLUDE.sub(lambda match: _filled(blocks[match[1]], blocks), text)
