"""The language in which tasks are searched: text to terms and back; it reads no store."""

from __future__ import annotations

from taskhub.search.moments import FOREVER, Span, spans
from taskhub.search.parsing import LENGTH_LIMIT, parse
from taskhub.search.printing import printed
from taskhub.search.query import (
    EVERYTHING,
    Age,
    At,
    Day,
    Field,
    Literal,
    Number,
    Offset,
    Op,
    Path,
    Query,
    Term,
    Text,
    Value,
    cased,
    one_of,
)

__all__ = [
    "EVERYTHING",
    "FOREVER",
    "LENGTH_LIMIT",
    "Age",
    "At",
    "Day",
    "Field",
    "Literal",
    "Number",
    "Offset",
    "Op",
    "Path",
    "Query",
    "Span",
    "Term",
    "Text",
    "Value",
    "cased",
    "one_of",
    "parse",
    "printed",
    "spans",
]
