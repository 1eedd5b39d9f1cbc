"""The `Idempotency-Key` field of a request: how it is written, and what is kept under it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec

from taskhub.http.answers import Headers
from taskhub.http.call import Call
from taskhub.http.problems import BadHeader, KeyReused
from taskhub.http.queries import only_one
from taskhub.http.reading import in_time
from taskhub.keys import IdempotencyKey, Tell, Told

IDEMPOTENCY_KEY = "Idempotency-Key"
REPLAYED: Headers = (("Idempotency-Replayed", "true"),)
RULE = (
    f"{IDEMPOTENCY_KEY} must be 1 to 255 characters of ASCII: in quotes (RFC 9651), "
    "or bare without space, quote or comma."
)

_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
SCHEMA = {"type": "string", "pattern": f"^(?:{_BARE.pattern}|{_QUOTED.pattern})$"}
_ESCAPED = re.compile(r"\\(.)")


class Wish(msgspec.Struct, frozen=True):
    """One request under one key: whose key, which, and the fingerprint of what is asked for."""

    principal: str
    key: str
    request_hash: str


def key_of(call: Call) -> str | None:
    """The key of a request, the same in quotes and bare; raises BadHeader."""
    fields = call.request.headers.getall(IDEMPOTENCY_KEY, [])
    text = only_one(fields, IDEMPOTENCY_KEY)
    if text is None:
        return None
    if quoted := _QUOTED.fullmatch(text):
        return _ESCAPED.sub(r"\1", quoted[1])
    if not _BARE.fullmatch(text):
        raise BadHeader(RULE)
    return text


def wish(call: Call, key: str, body: bytes, route: bytes = b"POST /tasks") -> Wish:
    """What the key stands for: this principal's, on this route, with this very body."""
    return Wish(call.principal.key, key, sha256(route + b"\n" + body).hexdigest())


def to_keep(call: Call, wanted: Wish, answer: Told | Tell) -> IdempotencyKey:
    """The key as it is stored with the task, for as long as `[retention]` says."""
    hours = call.context.settings().retention.keys_hours
    return IdempotencyKey(
        principal=wanted.principal,
        key=wanted.key,
        request_hash=wanted.request_hash,
        answer=answer,
        expires_at=datetime.now(UTC) + timedelta(hours=hours),
    )


async def kept(call: Call, wanted: Wish) -> Told | None:
    """The answer that this request was given before; raises KeyReused if it was another one."""
    found = await in_time(call.context.store.kept(wanted.principal, wanted.key))
    if found is None:
        return None
    if found.request_hash != wanted.request_hash:
        raise KeyReused
    return found.answer
