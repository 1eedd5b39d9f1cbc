"""JSON as strict as RFC 8259 allows and RFC 8725 wishes: one meaning for each body, or none."""

from __future__ import annotations

from typing import Any

import msgspec

from taskhub.errors import Malformed

TWICE = "The body names a member twice."
DEPTH_LIMIT = 100
"""How deep lists and objects may nest; past it some reader downstream would give up."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def strictly(body: bytes) -> Any:
    """The value of a JSON text; raises Malformed.

    Refused: what is not UTF-8, a byte order mark, NaN and Infinity, numbers out of range, lone
    surrogates, names that come twice in one object (at any depth), nesting deeper than
    `DEPTH_LIMIT`.
    """
    try:
        value = _decode(body)
        text = _encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        raise Malformed("The body is not JSON (RFC 8259) in UTF-8.") from None
    if _quotes(body) != _quotes(text):
        raise Malformed(TWICE)
    if _brackets(body) > DEPTH_LIMIT and _is_deep(value):
        raise Malformed(f"The body nests deeper than {DEPTH_LIMIT} levels.")
    return value


def is_plain(body: bytes, value: Any) -> bool:
    """Whether a body that was decoded to `value` is surely strict; a False proves nothing."""
    return _quotes(body) == _quotes(_encode(value)) and _brackets(body) <= DEPTH_LIMIT


def repeats(body: bytes, value: Any) -> bool:
    """Whether a body that was decoded to `value` names a member twice, as far as `value` has it.

    Nothing is said of what is inside its raw parts.
    """
    return _quotes(body) != _quotes(_encode(value))


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _quotes(text: bytes) -> int:
    """How many quotation marks stand around texts.

    The decoder keeps the last of two members of one name. Written out again the text then has
    fewer quotation marks than before: a check at the speed of C, with no false alarm, since
    escaped marks are not counted on either side.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.count(b'"')


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [inner for inner in value.values() if isinstance(inner, dict | list)]
    return [inner for inner in value if isinstance(inner, dict | list)]
