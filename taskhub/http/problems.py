"""Errors as `application/problem+json` (RFC 9457): what went wrong, never what was sent."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec

from taskhub.errors import (
    Busy,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Problem,
    SearchError,
    TaskHubError,
    Unauthorized,
)
from taskhub.http.answers import Answer, Headers, phrase

CONTENT_TYPE = "application/problem+json"
REALM = 'Bearer realm="taskhub"'


class BadQuery(Problem):
    """Some parameters of the query are not understood."""

    code = "bad-query"

    def __init__(self, errors: Sequence[FieldError], detail: str = "") -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class BadHeader(Problem):
    """A header field of the request breaks a rule."""

    code = "bad-header"


class BadMessage(Problem):
    """This is not a well-formed HTTP request."""

    code = "bad-message"


class NotAcceptable(Problem):
    """There is no such form of this: it is told as `text/event-stream`."""

    status = 406
    code = "not-acceptable"


class TooSlow(Problem):
    """The request did not arrive in time."""

    status = 408
    code = "too-slow"


class RateLimited(Problem):
    """The limit is used up: this was asked for too often. Try again later."""

    status = 429
    code = "rate-limited"

    def __init__(self, limit: str = "", retry_after: float = 1.0, fields: Headers = ()) -> None:
        super().__init__(f'The limit "{limit}" is used up. Try again later.' if limit else "")
        self.retry_after, self.fields = max(1.0, retry_after), fields


class Backlogged(Problem):
    """More work waits than the workers keep up with. Try again later."""

    status = 503
    code = "backlog"
    retry_after = 5.0


class TooLarge(Problem):
    """The body is larger than is taken here."""

    status = 413
    code = "too-large"


class WrongMedia(Problem):
    """The body must be plain `application/json` in UTF-8."""

    status = 415
    code = "wrong-media-type"


class KeyReused(Problem):
    """This Idempotency-Key was used before with another request."""

    status = 422
    code = "key-reused"


class Exists(Conflict):
    """Another task holds the unique key, and the token does not allow to read it."""

    code = "exists"

    def __init__(self, id_: str = "") -> None:
        """`id_` is told as the task's place."""
        super().__init__()
        self.place = f"/tasks/{id_}"


class LongHeader(Problem):
    """The request line or a header field is too long."""

    status = 431
    code = "header-too-long"


class Stopping(Busy):
    """This server is being stopped. Try again shortly."""

    code = "stopping"


class Unknown(Busy):
    """The task may or may not have been stored. With an Idempotency-Key it is safe to try again."""

    code = "outcome-unknown"


class BadToken(Unauthorized):
    """A valid bearer token is needed."""


class OutOfScope(Forbidden):
    """The token does not allow this."""

    def __init__(self, scopes: Sequence[str] = (), roles: Collection[str] = ()) -> None:
        """`roles` are told where no scope would help; the challenge has no word for them.

        Of several scopes each is enough; a challenge means all that it names, so it names one.
        """
        named = f"The token does not allow this. It needs the role {' or '.join(sorted(roles))}."
        super().__init__(named if roles and not scopes else "")
        self.scope = scopes[0] if scopes else ""


class LongSubject(Forbidden):
    """The token is good, but its subject is longer than the 196 characters that are kept here."""


class ErrorItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule that is broken, and where: `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str
    column: int = 0
    """Of a search: from which character on (the first is 1) it is not understood."""


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What every error answer says (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: tuple[ErrorItem, ...] = ()


_encode = msgspec.json.Encoder().encode


def problem(error: TaskHubError, request_id: str, extra: Headers = ()) -> Answer:
    """The answer for an error that we know by name."""
    items = tuple(map(_item, _fields(error)))
    body = _body(error.status, error.code, error.detail, request_id, items)
    headers = (*_headers(error), *extra)
    return Answer(error.status, _encode(body), CONTENT_TYPE, headers, close=_closes(error))


def status_problem(status: int, request_id: str, extra: Headers = ()) -> Answer:
    """The answer for a plain HTTP status that no error of ours stands for."""
    words = phrase(status)
    code = words.lower().replace(" ", "-")
    body = _body(status, code, f"{words}.", request_id, ())
    return Answer(status, _encode(body), CONTENT_TYPE, extra)


def crash(request_id: str) -> Answer:
    """The answer when a bug got in the way: nothing about it leaves the house but the id."""
    detail = "Something went wrong here; the request id finds it in the log."
    body = _body(500, "internal", detail, request_id, ())
    return Answer(500, _encode(body), CONTENT_TYPE, close=True)


def _body(
    status: int, code: str, detail: str, request_id: str, errors: tuple[ErrorItem, ...]
) -> ProblemBody:
    return ProblemBody(
        type=f"urn:taskhub:problem:{code}",
        title=phrase(status),
        status=status,
        detail=detail,
        instance=f"urn:taskhub:request:{request_id}",
        request_id=request_id,
        errors=errors,
    )


def _item(error: FieldError) -> ErrorItem:
    column = error.column if isinstance(error, SearchError) else 0
    return ErrorItem(error.pointer, error.detail, column)


def _fields(error: TaskHubError) -> Sequence[FieldError]:
    return error.errors if isinstance(error, Invalid | BadQuery) else ()


def _headers(error: TaskHubError) -> Headers:
    match error:
        case Unauthorized() | OutOfScope():
            return (("WWW-Authenticate", _challenge(error)),)
        case WrongMedia():
            return (("Accept-Encoding", "identity"),)
        case Exists(place=place):
            return (("Location", place),)
        case TaskHubError(retry_after=float(seconds)):
            more = error.fields if isinstance(error, RateLimited) else ()
            return (("Retry-After", str(math.ceil(seconds))), *more)
        case _:
            return ()


def _challenge(error: Unauthorized | OutOfScope) -> str:
    """What is missing (RFC 6750, 3)."""
    if isinstance(error, OutOfScope):
        needed = f', scope="{error.scope}"' if error.scope else ""
        return f'{REALM}, error="insufficient_scope"{needed}'
    return f'{REALM}, error="invalid_token"' if isinstance(error, BadToken) else REALM


def _closes(error: TaskHubError) -> bool:
    """Whether the rest of the connection cannot be trusted, or is not worth reading."""
    return isinstance(error, BadMessage | TooSlow | TooLarge | LongHeader | Stopping)
