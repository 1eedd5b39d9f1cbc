"""Conditions of searches in T-SQL's words: LIKE, and rows of a document's members.

Names are written as in the `.sql` files. A condition is no value in T-SQL: where one is wanted, it
is a 1.
"""

from __future__ import annotations

from collections.abc import Callable

from taskhub.search import Op, Path, Text, cased
from taskhub.store.steps.conditions import TEXT_LOOKED, SqlConditions, Wanted

LARGEST = 2**63 - 1
PATTERN_LIMIT = 4_000
"""Characters that a pattern may have."""

SPECIAL = frozenset("%_[")
EXACT = "COLLATE LATIN1_GENERAL_BIN2"
ANY_CASE = "COLLATE LATIN1_GENERAL_100_CI_AS_KS_WS"
LIST, OBJECT = 4, 5
"""The kinds of a document's values that have members, as OPENJSON numbers them."""


class MssqlConditions(SqlConditions):
    """Kinds of values in a document are the numbers that OPENJSON gives them."""

    always = "1 = 1"
    string, null = "1", "0"

    def _number(self, value: float) -> str:
        whole = isinstance(value, int) and abs(value) <= LARGEST
        return self._named(value) if whole else f"CAST({self._named(float(value))} AS FLOAT)"

    def _unless(self, text: str) -> str:
        return f"CASE WHEN {text} THEN 1 ELSE 0 END = 0"

    def _matches(self, value: str, text: Text, op: Op, *, folds: bool) -> str:
        pattern = _pattern(text, op, _folded if folds else _escaped)
        if len(pattern) > PATTERN_LIMIT:  # then the server knows what is the same letter
            pattern = _pattern(text, op, _escaped)
            return f"{value} {ANY_CASE} LIKE {self._text(pattern)}"
        return f"{value} LIKE {self._text(pattern)}"

    def _in_document(self, column: str, path: Path, wanted: Wanted, *, missing: bool) -> str:
        """A step into an array finds nothing in an object, and the other way round.

        The document is put into a list, so that its own kind is known as well; where the place is
        in it, `found` is a row.
        """
        joins, holder = f"OPENJSON('[' + {column} + ']') AS s0", "s0"
        for number, step in enumerate(path, 1):
            joins += f" CROSS APPLY ({self._step(holder, step)}) AS s{number}"
            holder = f"s{number}"
        place = f"TOP (1) {holder}.[type] AS Kind, {holder}.[value] {EXACT} AS Value"
        place = f"SELECT {place} FROM {joins}"  # noqa: S608 - fixed pieces
        found = f"(SELECT 1 AS One) AS one OUTER APPLY ({place}) AS found"
        holds = wanted("found.Kind", "found.Value")
        answer = f"(SELECT CASE WHEN {holds} THEN 1 ELSE 0 END FROM {found})"  # noqa: S608 - the same
        return f"CASE WHEN ISJSON({column}) = 1 THEN {answer} ELSE {int(missing)} END = 1"

    def _step(self, holder: str, step: str | int) -> str:
        """The members of this name of what `holder` holds."""
        kind = LIST if isinstance(step, int) else OBJECT
        name = self._text(str(step))
        inner = f"CASE WHEN {holder}.[type] = {kind} THEN {holder}.[value] END"
        return (
            f"SELECT m.[type], m.[value] FROM OPENJSON({inner}) AS m"  # noqa: S608 - fixed pieces
            f" WHERE m.[key] = {name} AND DATALENGTH(m.[key]) = DATALENGTH({name})"
        )

    def _beginning(self, value: str) -> str:
        return f"LEFT({value}, {TEXT_LOOKED})"

    def _exactly(self, value: str, op: Op, text: str) -> str:
        place = self._text(text)
        said = f"{value} {op} {place}"
        return f"{said} AND DATALENGTH({value}) = DATALENGTH({place})" if op is Op.EQ else said

    def _is_truth(self, kind: str, value: str, word: str) -> str:
        return f"({kind} = 3 AND {value} = {self._text(word)})"

    def _is_number(self, op: Op, wanted: float, kind: str, value: str) -> str:
        """Whole numbers are compared exactly while they fit, all others as numbers with a point."""
        near = f"TRY_CAST({value} AS FLOAT) {op} CAST({self._named(float(wanted))} AS FLOAT)"
        if isinstance(wanted, int) and abs(wanted) <= LARGEST:
            whole = f"TRY_CAST({value} AS BIGINT)"
            near = (
                f"(({whole} IS NOT NULL AND {whole} {op} {self._named(wanted)})"
                f" OR ({whole} IS NULL AND {near}))"
            )
        return f"({kind} = 2 AND {near})"


def _pattern(text: Text, op: Op, letter: Callable[[str], str]) -> str:
    """What LIKE takes, for the whole text, or with HAS for a part of it."""
    whole = "%".join("".join(map(letter, piece)) for piece in text.pieces)
    return f"%{whole}%" if op is Op.HAS else whole


def _folded(character: str) -> str:
    either = cased(character)
    several = len(either) > 1 and max(either) <= "\uffff"  # else it is two characters there
    return f"[{either}]" if several else _escaped(character)


def _escaped(character: str) -> str:
    return f"[{character}]" if character in SPECIAL else character
