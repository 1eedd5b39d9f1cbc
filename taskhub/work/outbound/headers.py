"""Which headers a task may give its request: bounded, and none that belongs to us or to HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

COUNT, LENGTH = 32, 2_000
OURS = ("idempotency-key", "taskhub-task-id", "taskhub-attempt", "user-agent")
OUR_PREFIX = "webhook-"
FRAMING = (
    *("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"),
    *("proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
    *("transfer-encoding", "upgrade"),
)


def _whatever_case(name: str) -> str:
    """A pattern for it that every dialect of regular expressions knows."""
    return "".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in name)


_RESERVED = "|".join(map(_whatever_case, (*OURS, *FRAMING)))
_LETTERS = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$(?!\n)"
NAME_PATTERN = rf"^(?!(?:{_RESERVED})$)(?!{_whatever_case(OUR_PREFIX)}){_LETTERS}"
VALUE_PATTERN = r"^[\x20-\x7e]*$(?!\n)"

HeaderName = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=100)]
HeaderValue = Annotated[str, Meta(pattern=VALUE_PATTERN, max_length=LENGTH)]
Headers = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=COUNT)]


def has(headers: Mapping[str, str], name: str) -> bool:
    """Whether a header is there, in whatever case."""
    return any(given.lower() == name for given in headers)
