"""Which JSON Schemas strangers may bring: those that cost little, whatever the payload is.

A schema of 1 KiB that refers to its own parts twice each can keep a validator busy for years, and
the validator runs where all requests do. So every reference is followed here, once and for all.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from taskhub.http.catalog import validator_of

PARTS_MOST = 5_000
"""Parts of a schema, with those that it refers to in their places."""
STRANGE = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor")
"""References that only a validator can follow."""
DIALECTS = ("2020-12", "2019-09", "draft-07")
"""In others, other members would change what references mean."""


class _Refused(Exception):
    """The schema costs too much, or nobody can tell what it costs."""


def is_cheap(schema: dict[str, Any]) -> bool:
    """Whether a validator takes it, and is done with it soon."""
    dialect = schema.get("$schema", DIALECTS[0])
    if not isinstance(dialect, str) or not any(known in dialect for known in DIALECTS):
        return False
    try:
        if _Unfolding(schema).parts(schema) > PARTS_MOST:
            return False
        validator_of(schema)
    except (_Refused, ValueError, RecursionError):
        return False
    return True


class _Unfolding:
    """Counts the parts of a schema as if each reference were replaced by what it means."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._known: dict[int, int] = {}
        self._above: set[int] = set()
        """Parts that are being counted: a reference to one of them has no end."""

    def parts(self, part: Any) -> int:
        """How many; raises _Refused where there is no end."""
        if not isinstance(part, dict | list):
            return 1
        place = id(part)
        if place in self._above:
            raise _Refused
        if place not in self._known:
            self._above.add(place)
            self._known[place] = 1 + self._inside(part)
            self._above.remove(place)
        return self._known[place]

    def _inside(self, part: dict[str, Any] | list[Any]) -> int:
        if isinstance(part, list):
            return sum(map(self.parts, part))
        if any(isinstance(part.get(name), str) for name in STRANGE):
            raise _Refused
        if part is not self._root and isinstance(part.get("$id"), str):
            raise _Refused
        return sum(map(self.parts, part.values())) + self._meant(part.get("$ref"))

    def _meant(self, reference: Any) -> int:
        if not isinstance(reference, str):
            return 0
        if reference[:2] not in {"#", "#/"}:
            raise _Refused
        part: Any = self._root
        for step in unquote(reference).split("/")[1:]:
            part = _below(part, step.replace("~1", "/").replace("~0", "~"))
        return self.parts(part)


def _below(part: Any, step: str) -> Any:
    if isinstance(part, dict) and step in part:
        return part[step]
    if isinstance(part, list) and step.isascii() and step.isdigit() and int(step) < len(part):
        return part[int(step)]
    raise _Refused
