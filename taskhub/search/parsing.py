"""From the text of a search to its terms; every mistake is told with its column."""

from __future__ import annotations

import re

from taskhub.errors import SearchError
from taskhub.search.fields import BY_NAME, KINDS, OPERATORS, ORDER, Kind, natural
from taskhub.search.query import Field, Op, Path, Query, Term, Value
from taskhub.search.scanning import Scanner
from taskhub.search.values import Unfit, meant

LENGTH_LIMIT = 2_000
TERMS_LIMIT = 20
VALUES_LIMIT = 50
DEPTH_LIMIT = 10

WORD = re.compile(r"[^\W\d_]\w*")
NEGATION = re.compile(r"-|NOT(?=\s|$)\s*")
JOINT = re.compile(r"(AND|OR)(?=\s|$)")
OPERATOR = re.compile(r":?(?:!=|<=|>=|=|<|>|~)|:")
NO_TERM = re.compile(r"[-()\s]|$")
MEMBER = re.compile(r"[\w-]+")
PLACE = re.compile(r"\[(?:0|[1-9][0-9]{0,5})\]", re.ASCII)
NO_KEY = re.compile(r'["\\]')
QUOTE_IT = 'to look for it as text, put it into "quotes"'


def parse(text: str) -> Query:
    """The query that a text means; raises SearchError."""
    if len(text) > LENGTH_LIMIT:
        raise SearchError(LENGTH_LIMIT + 1, f"at most {LENGTH_LIMIT} characters")
    scanner = Scanner(text)
    terms: list[Term] = []
    while _skip_to_term(scanner, is_first=not terms):
        if len(terms) == TERMS_LIMIT:
            raise scanner.expected(f"at most {TERMS_LIMIT} terms")
        terms.append(_term(scanner))
    return Query(tuple(terms))


def _skip_to_term(scanner: Scanner, *, is_first: bool) -> bool:
    """Go to the next term, past an AND; False: there is none."""
    if not scanner.skip_space():
        return False
    start = scanner.at
    joint = scanner.take(JOINT)
    if joint == "OR":
        raise scanner.expected(f"a term; either-or is status:failed,done; {QUOTE_IT}", start)
    if joint and (is_first or not scanner.skip_space()):
        raise scanner.expected(f"terms on both sides of AND; {QUOTE_IT}", start)
    return True


def _term(scanner: Scanner) -> Term:
    negated = bool(scanner.take(NEGATION))
    if NO_TERM.match(scanner.text, scanner.at):
        raise scanner.expected(f"a field or a word; {QUOTE_IT}")
    start = scanner.at
    name = scanner.take(WORD)
    field = BY_NAME.get(name.lower())
    path = _path(scanner) if field and KINDS[field] is Kind.JSON else ()
    sign = scanner.take(OPERATOR) if name else ""
    if field is not None and sign:
        return _compared(scanner, field, path, sign, negated=negated)
    if sign or path:
        raise scanner.expected(_no_operator() if path else _no_field(name), start)
    scanner.at = start
    return Term(Field.TITLE, Op.HAS, (_value(scanner, Field.TITLE, Op.HAS, ""),), negated)


def _compared(scanner: Scanner, field: Field, path: Path, sign: str, *, negated: bool) -> Term:
    kind, at = KINDS[field], scanner.at - len(sign)
    bare = sign.removeprefix(":")
    if bare == "!=":
        bare, negated = "=", not negated
    op = Op(bare) if bare else natural(kind)
    if op not in OPERATORS[kind]:
        known = " ".join(op for op in Op if op in OPERATORS[kind])
        raise scanner.expected(f"one of these after {field}: {known}", at)
    if kind is Kind.JSON and not path:
        raise scanner.expected(f"the member meant, such as {field}.customer=42", at)
    values = [_value(scanner, field, op, ",")]
    while scanner.next_is(","):
        if op in ORDER:
            raise scanner.expected("one value only after < or >", scanner.at - 1)
        values.append(_value(scanner, field, op, ","))
        if len(values) > VALUES_LIMIT:
            raise scanner.expected(f"at most {VALUES_LIMIT} values")
    return Term(field, op, tuple(values), negated, path)


def _value(scanner: Scanner, field: Field, op: Op, stops: str) -> Value:
    raw = scanner.value(stops)
    try:
        return meant(KINDS[field], op, raw)
    except Unfit as error:
        raise scanner.expected(str(error), raw.column) from None


def _path(scanner: Scanner) -> Path:
    path: list[str | int] = []
    while True:
        if scanner.next_is("."):
            path.append(_member(scanner))
        elif place := scanner.take(PLACE):
            path.append(int(place[1:-1]))
        else:
            return tuple(path)
        if len(path) > DEPTH_LIMIT:
            raise scanner.expected(f"at most {DEPTH_LIMIT} steps into the document")


def _member(scanner: Scanner) -> str:
    """The name of a member: letters, digits, _ and -, or anything in quotes."""
    start = scanner.at
    name = scanner.take(MEMBER) or (scanner.quoted() if scanner.next_is('"') else "")
    if not name or NO_KEY.search(name):
        raise scanner.expected('the name of a member, such as customer or "first name"', start)
    return name


def _no_operator() -> str:
    return f"an operator after the member, such as = or >; {QUOTE_IT}"


def _no_field(name: str) -> str:
    """What could have been meant, among the fields; what was written is not repeated."""
    from difflib import get_close_matches

    near = get_close_matches(name[:30].lower(), BY_NAME, n=1)
    guess = f"did you mean {BY_NAME[near[0]]}?" if near else f"one of {', '.join(Field)};"
    return f"the name of a field: {guess} {QUOTE_IT}"
