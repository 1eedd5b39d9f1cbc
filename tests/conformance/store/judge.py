"""What a search means, said once more without any database: does this task match?

Read it beside docs/search.md. It shares with the stores only the terms themselves.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from taskhub.model import TaskItem
from taskhub.search import (
    Age,
    At,
    Day,
    Field,
    Literal,
    Number,
    Offset,
    Op,
    Query,
    Term,
    Text,
    Value,
)

MEMBERS = {
    Field.GROUP_KEY: "group_key",
    Field.CREATED_BY: "created_by",
    Field.MAX_ATTEMPTS: "max_attempts",
    Field.CREATED: "created_at",
    Field.AGE: "created_at",
    Field.UPDATED: "updated_at",
    Field.STARTED: "started_at",
    Field.FINISHED: "finished_at",
    Field.RUN_AT: "run_at",
}
WORDS = {Field.TITLE, Field.ERROR}
DOCUMENTS = {Field.PAYLOAD, Field.RESULT}
NOTHING: Any = object()
LARGEST = 2**63 - 1
TEXT_LOOKED = 10_000


def matches(query: Query, item: TaskItem, now: datetime) -> bool:
    """Whether every term holds."""
    return all(_holds(term, item, now) is not term.negated for term in query.terms)


def _holds(term: Term, item: TaskItem, now: datetime) -> bool:
    found = getattr(item, MEMBERS.get(term.field, str(term.field)))
    if term.field in DOCUMENTS:
        member = _member(found, term.path)
        return any(_is_member(term.op, value, member) for value in term.values)
    if found is None:
        return False
    if isinstance(found, datetime):
        return any(_is_time(term.op, value, found, now) for value in term.values)
    if isinstance(found, int):
        return any(_compare(term.op, found, _number(value)) for value in term.values)
    return any(_is_word(term, value, found) for value in term.values)


def _is_word(term: Term, value: Value, found: str) -> bool:
    assert isinstance(value, Text)
    loose = term.op is Op.HAS or term.field in WORDS
    return _fits(value, found, loose=loose, part=term.op is Op.HAS)


def _fits(value: Text, found: str, *, loose: bool, part: bool) -> bool:
    """Letter by letter, anything between the pieces."""
    pattern = ".*".join("".join(_letter(c, loose=loose) for c in p) for p in value.pieces)
    return bool(re.fullmatch(f".*{pattern}.*" if part else pattern, found, re.DOTALL))


def _letter(c: str, *, loose: bool) -> str:
    forms = {c, c.lower(), c.upper()} if loose else {c}
    return f"(?:{'|'.join(re.escape(form) for form in forms if len(form) == 1)})"


def _number(value: Value) -> int:
    assert isinstance(value, Number)
    return value.value


def _compare(op: Op, found: Any, wanted: Any) -> bool:
    return bool(
        {
            Op.EQ: found == wanted,
            Op.LT: found < wanted,
            Op.LE: found <= wanted,
            Op.GT: found > wanted,
            Op.GE: found >= wanted,
        }[op]
    )


def _is_time(op: Op, value: Value, found: datetime, now: datetime) -> bool:
    match value:
        case Text():
            return True  # a star
        case Age(seconds=seconds):
            return _compare(op, now - found, timedelta(seconds=seconds))
        case Offset(seconds=seconds):
            return _compare(op, found - now, timedelta(seconds=seconds))
        case Day(day=day):
            return _compare(op, found.date(), day)
        case At(moment=moment):
            whole = found if moment.microsecond else found.replace(microsecond=0)
            return _compare(op, whole, moment)
        case _:
            raise AssertionError(value)


def _member(document: Any, path: tuple[str | int, ...]) -> Any:
    if document is None:
        return NOTHING
    found = json.loads(bytes(document))
    for step in path:
        inside = isinstance(found, list if isinstance(step, int) else dict)
        try:
            found = found[step] if inside else NOTHING
        except LookupError:
            return NOTHING
    return found


def _is_member(op: Op, value: Value, found: Any) -> bool:
    if isinstance(value, Literal):
        return _is_literal(op, value, found)
    assert isinstance(value, Text)
    if op in (Op.EQ, Op.HAS) and not (op is Op.EQ and value.is_anything):
        return isinstance(found, str) and _fits_member(op, value, found)
    if op is Op.EQ:
        return found is not NOTHING and found is not None
    return isinstance(found, str) and _compare(op, found, value.pieces[0])


def _fits_member(op: Op, value: Text, found: str) -> bool:
    """Patterns see the beginning of a text."""
    is_pattern = op is Op.HAS or not value.is_plain
    seen = found[:TEXT_LOOKED] if is_pattern else found
    return _fits(value, seen, loose=op is Op.HAS, part=op is Op.HAS)


def _is_literal(op: Op, value: Literal, found: Any) -> bool:
    wanted = json.loads(value.text)
    if op is Op.EQ and isinstance(found, str):
        return found == value.text
    if wanted is None:
        return found is None or found is NOTHING
    if isinstance(wanted, bool):
        return found is wanted
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return is_number and _compare(op, _fitting(found), _fitting(wanted))


def _fitting(number: float) -> float:
    """Numbers beyond 64 bits are kept as floats by nearly everybody."""
    return number if abs(number) <= LARGEST else float(number)
