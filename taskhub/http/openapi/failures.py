"""The error answers of an operation: each error its own schema, its own example, its headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from taskhub.errors import TaskHubError
from taskhub.http.answers import Answer, phrase
from taskhub.http.openapi.examples import ERRORS
from taskhub.http.openapi.shapes import REFERENCE
from taskhub.http.problems import CONTENT_TYPE, crash, problem
from taskhub.http.route import Route

REQUEST_ID = "7f3a-1c9"
TEXT = {"type": "string"}
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "finds the request in the log", "schema": TEXT},
    "WWW-Authenticate": {"description": "what is missing (RFC 6750)", "schema": TEXT},
    "Accept-Encoding": {"description": "the encodings that are taken", "schema": TEXT},
    "Retry-After": {
        "description": "seconds after which another try makes sense",
        "schema": {"type": "integer", "minimum": 1},
    },
}
LIMITED: dict[str, dict[str, Any]] = {
    "RateLimit-Policy": {
        "description": "where a limit is on: its name, so often (q) in so many seconds (w)",
        "schema": TEXT,
        "example": '"create";q=100;w=1',
    },
    "RateLimit": {
        "description": "how much of it is left (r), for so many seconds (t)",
        "schema": TEXT,
        "example": '"create";r=99;t=1',
    },
}
"""What every answer has, good or bad, on a route with a limit that is on."""
Errors = Sequence[type[TaskHubError]]


def all_of(route: Route) -> dict[int, dict[str, type[TaskHubError]]]:
    """What can go wrong, by status and code; a bug can happen anywhere."""
    found: dict[int, dict[str, type[TaskHubError]]] = {}
    everywhere: Errors = (*route.errors, TaskHubError)
    for error in everywhere:
        found.setdefault(error.status, {}).setdefault(error.code, error)
    return dict(sorted(found.items()))


def responses(route: Route) -> dict[str, Any]:
    """Error answers by status, where no reply of the route has that status."""
    replies = {reply.status for reply in route.replies}
    more = LIMITED if route.limit else {}
    return {
        str(status): _response(status, list(errors.values()), more)
        for status, errors in all_of(route).items()
        if status not in replies
    }


def components(routes: Sequence[Route]) -> dict[str, Any]:
    """A schema for each error: the problem whose `type` and `status` are these."""
    errors = {
        code: error
        for route in routes
        for codes in all_of(route).values()
        for code, error in codes.items()
    }
    return {_name(error): _schema(error) for _, error in sorted(errors.items())}


def _response(status: int, errors: Errors, more: dict[str, Any]) -> dict[str, Any]:
    examples = {
        error.code: {"summary": _text(error), "value": msgspec.json.decode(_answer(error).body)}
        for error in errors
    }
    names = ["X-Request-Id", *dict.fromkeys(n for e in errors for n, _ in _answer(e).headers)]
    return {
        "description": phrase(status),
        "headers": {name: HEADERS.get(name, {"schema": TEXT}) for name in names} | more,
        "content": {CONTENT_TYPE: {"schema": _any_of(errors), "examples": examples}},
    }


def _any_of(errors: Errors) -> dict[str, Any]:
    references = [REFERENCE.format(name=_name(error)) for error in errors]
    if len(references) == 1:
        return {"$ref": references[0]}
    mapping = {_type(error): ref for error, ref in zip(errors, references, strict=True)}
    return {
        "oneOf": [{"$ref": reference} for reference in references],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }


def _schema(error: type[TaskHubError]) -> dict[str, Any]:
    own = {"type": {"const": _type(error)}, "status": {"const": error.status}}
    return {
        "description": _text(error),
        "allOf": [{"$ref": REFERENCE.format(name="ProblemBody")}],
        "properties": own,
        "required": ["type", "status"],
    }


def _answer(error: type[TaskHubError]) -> Answer:
    if error is TaskHubError:
        return crash(REQUEST_ID)
    return problem(ERRORS.get(error) or error(), REQUEST_ID)


def _name(error: type[TaskHubError]) -> str:
    return "".join(word.capitalize() for word in error.code.split("-")) + "Problem"


def _type(error: type[TaskHubError]) -> str:
    return f"urn:taskhub:problem:{error.code}"


def _text(error: type[TaskHubError]) -> str:
    if error is TaskHubError:
        return "A bug got in the way."
    return (error.__doc__ or "").strip().partition("\n")[0]
