"""The API's own description (OpenAPI 3.1), made from the table of routes; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from taskhub.http.openapi import failures, shapes
from taskhub.http.openapi.operations import OPEN, Describer, tag
from taskhub.http.openapi.payloads import with_payloads
from taskhub.http.problems import ProblemBody
from taskhub.http.route import Message, Route
from taskhub.model import TypeInfo

ABOUT = """\
Tasks that are stored once, run at least once, and end.

Bodies are JSON in UTF-8, times are UTC. Every answer has an `X-Request-Id`, which finds the request
in the log. Errors are `application/problem+json` (RFC 9457): `type` names the kind, `errors` each
rule that is broken and where. `Retry-After` says when another try makes sense; with an
`Idempotency-Key` it is safe. Every `GET` may be asked as `HEAD` too.
"""
BEARER = """\
A signed token (JWT) of the configured issuer, with its scopes (`scope`, `scp`) or its roles
(`roles`, `role`). Each operation names those of which one is enough."""

TAGS = {
    "tasks": "Create, find, cancel and retry tasks.",
    "events": "What happens, as it happens.",
    "types": "Which types of tasks there are, and what their payloads must be.",
    "work": "For workers of your own, in any language.",
    "actors": "The parts that TaskHub itself is made of.",
    "audit": "What operators did, and who.",
    "schedules": "What is made when.",
    "cron": "When that is, in words.",
    "queues": "Where tasks wait.",
    "webhooks": "Who is told of events by HTTP.",
    OPEN: "For machines and newcomers; nobody needs a token.",
}


def document(
    routes: Sequence[Route], messages: Sequence[Message] = (), types: Sequence[TypeInfo] = ()
) -> dict[str, Any]:
    """The whole description as plain values; `types` are those whose payloads it is to describe."""
    known = _schemas(routes, messages)
    if types:
        known = with_payloads(known, types)
    describer = Describer(routes, known)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = describer.operation(route)
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": BEARER}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TaskHub",
            "version": version("taskhub"),
            "summary": "A durable task server",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that gave you this"}],
        "tags": _tags(routes),
        "paths": paths,
        "webhooks": {each.name: {"post": describer.webhook(each)} for each in messages},
        "components": {"schemas": known, "securitySchemes": {"bearer": scheme}},
    }


def _schemas(routes: Sequence[Route], messages: Sequence[Message]) -> dict[str, Any]:
    bodies = [route.body for route in routes] + [message.body for message in messages]
    replies = [reply.body for route in routes for reply in route.replies]
    told = [shape for shape in (*bodies, *replies) if shape is not None]
    made = shapes.components([*told, ProblemBody]) | failures.components(routes)
    return dict(sorted(made.items()))


def _tags(routes: Sequence[Route]) -> list[dict[str, str]]:
    used = dict.fromkeys(map(tag, routes))
    return [
        {"name": name, "description": TAGS[name]} if name in TAGS else {"name": name}
        for name in used
    ]
