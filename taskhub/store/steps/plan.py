"""How a search is done: which index leads to its tasks, and what must be looked at one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from taskhub.model import TaskId
from taskhub.search import FOREVER, Field, Op, Query, Term, Text, spans
from taskhub.store.steps.ids import FIRST, LAST, first_id_at

KIND_FIELDS = frozenset({Field.STATUS, Field.TYPE, Field.QUEUE})
TIME_FIELDS = frozenset({Field.CREATED, Field.AGE})


@dataclass(frozen=True, slots=True)
class Plan:
    """One search: conditions with their values, bounds on the ids, or the ids themselves."""

    kind: str
    """What status, type and queue must be; empty: anything."""
    where: str
    values: dict[str, object]
    since_id: str
    before_id: str
    ids: Sequence[TaskId] | None
    marks: Sequence[str] | None
    """The fingerprints that can match, where a term names them."""
    always: str
    """The condition that always holds."""
    is_deep: bool
    """Whether rows must be looked at that may not match."""


class Conditions(Protocol):
    """Makes conditions of terms as one database understands them."""

    now: int
    """Microseconds since 1970."""
    values: dict[str, object]
    always: str

    def all_of(self, terms: Iterable[Term]) -> str:
        """Every term must hold."""


def plan(query: Query, cursor: TaskId | None, made: Conditions) -> Plan:
    """The way to the tasks that match, older than the cursor."""
    now = made.now
    kinds = [term for term in query.terms if term.field in KIND_FIELDS]
    others = [term for term in query.terms if term.field not in KIND_FIELDS]
    ids = _ids(others)
    since, before = _bounds(others, now)
    return Plan(
        kind=made.all_of(kinds) if kinds else "",
        where=made.all_of(others),
        values=made.values,
        since_id=since,
        before_id=before if cursor is None else min(before, cursor),
        ids=ids,
        marks=_marks(others),
        always=made.always,
        is_deep=ids is None and not all(map(_is_range, others)),
    )


def _is_range(term: Term) -> bool:
    """Whether bounds on the ids say nearly as much."""
    if term.negated or len(term.values) > 1:
        return False
    return term.field in TIME_FIELDS or _prefix(term) is not None


def _ids(terms: Iterable[Term]) -> list[TaskId] | None:
    """The only tasks that can match, where a term names them."""
    for term in terms:
        texts = [value for value in term.values if isinstance(value, Text)]
        if term.field is Field.ID and not term.negated and all(text.is_plain for text in texts):
            return [TaskId(text.pieces[0]) for text in texts]
    return None


def _marks(terms: Iterable[Term]) -> list[str] | None:
    """The only fingerprints that can match, where a term names them."""
    for term in terms:
        texts = [value for value in term.values if isinstance(value, Text)]
        is_named = term.op is Op.EQ and not term.negated and all(text.is_plain for text in texts)
        if term.field is Field.FINGERPRINT and is_named:
            return list(dict.fromkeys(text.pieces[0] for text in texts))
    return None


def _bounds(terms: Iterable[Term], now: int) -> tuple[str, str]:
    """A range of ids that holds everything that can match."""
    since, before = FIRST, LAST
    for term in terms:
        if not _is_range(term):
            continue
        first, last = _ends(term, now)
        since, before = max(since, first), min(before, last)
    return since, before


def _ends(term: Term, now: int) -> tuple[str, str]:
    if (prefix := _prefix(term)) is not None:
        return prefix, prefix + LAST
    if term.op is Op.EQ and isinstance(term.values[0], Text):
        return FIRST, LAST
    ((start, end),) = spans(term, now)
    since = FIRST if start <= -FOREVER else first_id_at(start, later=False)
    return since, LAST if end >= FOREVER else first_id_at(end, later=True)


def _prefix(term: Term) -> str | None:
    """What the ids begin with, where a term says that and no more."""
    value = term.values[0]
    if term.field is not Field.ID or not isinstance(value, Text):
        return None
    first, *rest = value.pieces
    return first if rest == [""] else None
