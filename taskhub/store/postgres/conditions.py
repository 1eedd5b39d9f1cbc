"""Conditions of searches in PostgreSQL's words: regular expressions, and steps into a document.

Names are written as in the `.sql` files.
"""

from __future__ import annotations

from taskhub.search import Op, Path, Text, cased
from taskhub.store.steps.conditions import TEXT_LOOKED, SqlConditions, Wanted

FARTHEST = 2**31 - 1
"""The last place in a list that can be asked for."""

NUMBER = "'^-?[0-9.]{1,255}([eE][-+]?[0-9]{1,3})?$'"
"""What a number in a document looks like that the server can compare."""


class PgConditions(SqlConditions):
    """Says what each parameter is, for the server asks."""

    def _put(self, value: object, kind: str = "text") -> str:
        return f"CAST({self._named(value)} AS {kind})"

    def _text(self, value: str) -> str:
        return self._put(value)

    def _number(self, value: float) -> str:
        return self._put(value, "numeric")

    def _matches(self, value: str, text: Text, op: Op, *, folds: bool) -> str:
        return f"{value} ~ {self._put(_pattern(text, op, folds=folds))}"

    def _in_document(self, column: str, path: Path, wanted: Wanted, *, missing: bool) -> str:
        """A step into an array finds nothing in an object, and the other way round."""
        steps = [
            self._put(min(step, FARTHEST), "integer") if isinstance(step, int) else self._put(step)
            for step in path
        ]
        place = f"({' -> '.join([f'{column}::json', *steps])})"
        found = wanted(f"json_typeof({place})", f"{place} #>> '{{}}'")
        readable = f"{column} IS JSON AND strpos({column}, '\\u0000') = 0"
        return f"CASE WHEN {readable} THEN {found} ELSE {str(missing).lower()} END"

    def _beginning(self, value: str) -> str:
        return f"left({value}, {TEXT_LOOKED})"

    def _exactly(self, value: str, op: Op, text: str) -> str:
        return f'({value}) COLLATE "C" {op} {self._put(text)}'

    def _is_truth(self, kind: str, value: str, word: str) -> str:
        return f"({kind} = 'boolean' AND {value} = {self._put(word)})"

    def _is_number(self, op: Op, wanted: float, kind: str, value: str) -> str:
        """Compared exactly, however many digits they have, within reason."""
        place = self._put(repr(wanted), "numeric")
        is_number = f"{kind} = 'number' AND {value} ~ {NUMBER}"
        return f"CASE WHEN {is_number} THEN ({value})::numeric {op} {place} ELSE false END"


def _pattern(text: Text, op: Op, *, folds: bool) -> str:
    """A regular expression that matches the whole text, or with HAS a part of it."""
    letter = _folded if folds else _escaped
    whole = ".*".join("".join(map(letter, piece)) for piece in text.pieces)
    return whole if op is Op.HAS else f"^{whole}$"


def _folded(character: str) -> str:
    either = cased(character)
    return f"(?:{'|'.join(map(_escaped, either))})" if len(either) > 1 else _escaped(character)


def _escaped(character: str) -> str:
    is_plain = character.isalnum() or character.isspace() or not character.isascii()
    return character if is_plain else f"\\{character}"
