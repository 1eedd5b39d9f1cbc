"""Answers that a client may have already: a validator, and 304 for who holds it (RFC 9110)."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from aiohttp import hdrs, web

from taskhub.http.answers import Answer


def etag(text: bytes) -> str:
    """A strong validator of a whole answer."""
    return f'"{blake2b(text, digest_size=12).hexdigest()}"'


def conditional(request: web.BaseRequest, answer: Answer, tag: str = "") -> Answer:
    """The answer with its validator (`tag`, if it has one of its own), or 304 without a body when
    the client has it.
    """
    tag = tag or etag(answer.body)
    headers = (("ETag", tag), *answer.headers)
    if is_known(request.headers.getall(hdrs.IF_NONE_MATCH, []), tag):
        return Answer(304, b"", answer.content_type, headers, answer.cache)
    return msgspec.structs.replace(answer, headers=headers)


def is_known(fields: list[str], tag: str) -> bool:
    """Whether If-None-Match names this validator (weak comparison)."""
    given = [part.strip().removeprefix("W/") for field in fields for part in field.split(",")]
    return tag in given or "*" in given
