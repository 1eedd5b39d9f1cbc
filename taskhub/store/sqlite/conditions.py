"""Conditions of searches in SQLite's words: GLOB, and functions that read a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from taskhub.search import Op, Path, Text, cased
from taskhub.store.steps.conditions import TEXT_LOOKED, SqlConditions, Wanted

SPECIAL = frozenset("*?[")
LARGEST = 2**63 - 1


class SqliteConditions(SqlConditions):
    """For one file, whose numbers are whole while they fit."""

    always = "1"
    string = "'text'"

    def _number(self, value: float) -> str:
        return self._named(value)

    def _matches(self, value: str, text: Text, op: Op, *, folds: bool) -> str:
        return f"{value} GLOB {self._text(_pattern(text, op, folds=folds))}"

    def _in_document(self, column: str, path: Path, wanted: Wanted, *, missing: bool) -> str:
        places = [self._named(place) for place in _places(path)]
        kind = _first(f"json_type({column}, {place})" for place in places)
        value = _first(f"json_extract({column}, {place})" for place in places)
        found = wanted(kind, value)
        return f"CASE WHEN json_valid({column}) THEN {found} ELSE {int(missing)} END"

    def _beginning(self, value: str) -> str:
        return f"substr({value}, 1, {TEXT_LOOKED})"

    def _is_truth(self, kind: str, value: str, word: str) -> str:
        return f"{kind} = {self._text(word)}"

    def _is_number(self, op: Op, wanted: float, kind: str, value: str) -> str:
        number = self._named(wanted if abs(wanted) <= LARGEST else float(wanted))
        return f"({kind} IN ('integer', 'real') AND {value} {op} {number})"


def _pattern(text: Text, op: Op, *, folds: bool) -> str:
    """A GLOB that matches the whole text, or with HAS a part of it."""
    letter = _folded if folds else _escaped
    whole = "*".join("".join(map(letter, piece)) for piece in text.pieces)
    return f"*{whole}*" if op is Op.HAS else whole


def _folded(character: str) -> str:
    either = cased(character)
    return f"[{either}]" if len(either) > 1 else _escaped(character)


def _places(path: Path) -> Sequence[str]:
    r"""The path as SQLite writes it.

    Older versions compare names as they stand in the document, where letters beyond ASCII may be
    written as themselves or as `\u00fc`: both spellings are looked for.
    """
    plain = "".join(_step(step, step) for step in path)
    escaped = "".join(_step(step, json.dumps(step)[1:-1]) for step in path)
    return list(dict.fromkeys(("$" + plain, "$" + escaped)))


def _step(step: str | int, name: object) -> str:
    return f"[{step}]" if isinstance(step, int) else f'."{name}"'


def _first(texts: Iterable[str]) -> str:
    several = list(texts)
    return several[0] if len(several) == 1 else f"coalesce({', '.join(several)})"


def _escaped(character: str) -> str:
    return f"[{character}]" if character in SPECIAL else character
