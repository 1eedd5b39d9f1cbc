"""Makes one log line of a dict: compact JSON (CLEF), safe against what is in the values."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

Fields = MutableMapping[str, Any]
Render = Callable[[Any, str, Fields], bytes]
"""A last processor of structlog: (logger, method, fields) -> the line, without its newline."""

VALUE_LIMIT = 1_000
"""Characters of one value; what is longer is cut and says so."""
ITEMS_LIMIT = 100
"""Items of one list."""
TRACE_LIMIT = 16_000
"""Characters of `@x`; the end is kept, it is where the error is."""

UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""What JSON may hold as it is, but would break or disguise a line: DEL and C1 controls (a terminal
obeys them), line separators, invisible and direction marks."""


DELETE = 0x7F  # looked for as a number: five times as fast as a text of one character

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The clock of the lines."""


def clef(clock: Callable[[], datetime] = utc_now) -> Render:
    """Render `fields`, in which `@t` and `@m` already have their places, as one JSON object.

    Form: CLEF (compact log event format, clef-json.org). Never raises for a value.
    """
    encode = msgspec.json.Encoder(enc_hook=repr).encode

    def render(_logger: Any, _method: str, fields: Fields) -> bytes:
        fields["@t"] = clock()
        try:
            line = encode(fields)
        except (TypeError, ValueError, OverflowError):  # a lone surrogate, a number past 64 bits
            line = encode(plain(fields))
        if len(line) > VALUE_LIMIT:  # else no value can be too long
            line = encode(cut(plain(fields)))
        return line if line.isascii() and DELETE not in line else escaped(line)

    return render


def plain(fields: Fields) -> dict[str, Any]:
    """The same with every value that is not a simple one as text that UTF-8 can hold."""
    return {text(name): _plain_value(value) for name, value in fields.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    if value is None or isinstance(value, bool | float | datetime):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    return text(value)


def text(value: Any) -> str:
    """`str(value)` with lone surrogates written out, for they have no place in UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def cut(fields: Fields) -> dict[str, Any]:
    """The same with long texts cut; a cut text says how much is missing."""
    return {name: _cut_value(name, value) for name, value in fields.items()}


def _cut_value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        more = len(value) - ITEMS_LIMIT
        kept = [_cut_value(name, item) for item in value[:ITEMS_LIMIT]]
        return [*kept, f"({more} more)"] if more > 0 else kept
    if not isinstance(value, str):
        return value
    if name == "@x":
        more = len(value) - TRACE_LIMIT
        return value if more <= 0 else f"({more} characters before)... {value[-TRACE_LIMIT:]}"
    more = len(value) - VALUE_LIMIT
    return value if more <= 0 else f"{value[:VALUE_LIMIT]}... ({more} characters more)"


def escaped(line: bytes) -> bytes:
    """The same JSON with unsafe characters as escapes: it reads back equal."""
    return UNSAFE.sub(_escape, line.decode()).encode()


def _escape(found: re.Match[str]) -> str:
    pieces = found.group().encode("utf-16-be")
    return "".join(f"\\u{pieces[i : i + 2].hex()}" for i in range(0, len(pieces), 2))
