"""The API's own description (OpenAPI 3.1), made from the table of routes; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from taskhub.config.policies import Policies
from taskhub.errors import FieldError, Invalid, TaskHubError
from taskhub.http.access import Access
from taskhub.http.answers import JSON, Answer
from taskhub.http.call import Call
from taskhub.http.context import ActorRow, PartHealth
from taskhub.http.new_task import NewTask
from taskhub.http.problems import CONTENT_TYPE, BadQuery, ProblemBody, problem
from taskhub.http.queries import no_query
from taskhub.http.route import Field, Reply, Route
from taskhub.http.routes.tasks import TaskPage
from taskhub.http.routes.watching import ActorList
from taskhub.http.watching import Readiness
from taskhub.model import Status, TaskId, TaskItem

PATH = "/openapi.json"
REFERENCE = "#/components/schemas/{name}"
SHAPES = (NewTask, TaskItem, TaskPage, ActorList, Readiness, ProblemBody)

EXAMPLE_ITEM = TaskItem(
    id=TaskId("019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"),
    title="Resize images",
    type="simulate",
    queue="default",
    priority=0,
    status=Status.PENDING,
    payload=msgspec.Raw(b'{"seconds":0.5}'),
    result=None,
    error=None,
    progress=None,
    attempts=0,
    max_attempts=5,
    timeout_seconds=60.0,
    cancel_requested=False,
    created_at=datetime(2026, 11, 24, 22, 17, 17, tzinfo=UTC),
    updated_at=datetime(2026, 11, 24, 22, 17, 17, tzinfo=UTC),
    run_at=datetime(2026, 11, 24, 22, 17, 17, tzinfo=UTC),
    started_at=None,
    finished_at=None,
    created_by="alice",
)
EXAMPLE_ACTOR = ActorRow(
    name="worker-1/pool", state="ready", uptime=3600.5, restarts=0, mailbox_limit=4096
)
EXAMPLES: dict[Any, Any] = {
    NewTask: {"title": "Resize images", "payload": {"seconds": 0.5}},
    TaskItem: EXAMPLE_ITEM,
    TaskPage: TaskPage([EXAMPLE_ITEM], None),
    ActorList: ActorList([EXAMPLE_ACTOR]),
    Readiness: Readiness("ok", [PartHealth("store", "ok"), PartHealth("events", "ok")]),
}
EXAMPLE_ERRORS: dict[type[TaskHubError], TaskHubError] = {
    Invalid: Invalid([FieldError("/title", "1 to 200 characters, not only spaces")]),
    BadQuery: BadQuery([FieldError("/limit", "expected once: 1 to 200 tasks; 50 when absent")]),
}


def described(routes: Sequence[Route]) -> tuple[Route, ...]:
    """The routes, and one more that describes them all, itself too."""

    async def describe(call: Call) -> Answer:
        no_query(call.request)
        return Answer(200, text.under(call.context.settings().policies), cache="no-cache")

    own = Route(
        method="GET",
        path=PATH,
        name="openapi",
        text="This description.",
        handler=describe,
        replies=(Reply(200, "The description.", dict[str, Any]),),
    )
    served = (*routes, own)
    text = Text(served)
    return served


class Text:
    """The description as bytes, made anew when the policies have changed."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._policies: Policies | None = None
        self._bytes = b""

    def under(self, policies: Policies) -> bytes:
        """What is true of these routes under these policies."""
        if policies is not self._policies:
            self._bytes = msgspec.json.encode(document(under(self._routes, policies)))
            self._policies = policies
        return self._bytes


def under(routes: Sequence[Route], policies: Policies) -> tuple[Route, ...]:
    """The same routes with the access that the configuration gives them."""
    return tuple(
        msgspec.structs.replace(route, access=route.access_under(policies)) for route in routes
    )


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description as plain values."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    _, components = msgspec.json.schema_components(SHAPES, ref_template=REFERENCE)
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TaskHub",
            "version": version("taskhub"),
            "description": "Tasks that are stored once, run at least once, and end.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"bearer": scheme}},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.text.partition(".")[0],
        "description": route.text,
        "security": _security(route.access),
        "responses": {**_replies(route.replies), **_errors(route)},
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: _content(route.body)}}
    return operation


def _security(access: Access | None) -> list[dict[str, list[str]]]:
    """Any one of these is enough; an empty list: nobody is asked."""
    if access is None:
        return []
    return [{"bearer": [way]} for way in (*access.scopes, *access.roles)]


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in route.path:
        schema = {"type": "string", "format": "uuid"}
        found.append({"name": "id", "in": "path", "required": True, "schema": schema})
    found += [
        {"name": p.name, "in": "query", "description": p.rule, "schema": p.schema}
        for p in route.query
    ]
    return found + [_field(field) for field in route.fields]


def _field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "in": "header",
        "description": field.text,
        "schema": {"type": "string"},
        "example": field.example,
    }


def _replies(replies: Sequence[Reply]) -> dict[str, Any]:
    return {str(reply.status): _reply(reply) for reply in replies}


def _reply(reply: Reply) -> dict[str, Any]:
    told: dict[str, Any] = {"description": reply.text}
    if reply.body is not None:
        told["content"] = {reply.content_type: _content(reply.body)}
    names = {"X-Request-Id": "finds the request in the log", **reply.headers}
    told["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in names.items()
    }
    return told


def _content(shape: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components((shape,), ref_template=REFERENCE)
    content: dict[str, Any] = {"schema": schema}
    if shape in EXAMPLES:
        content["example"] = _plain(EXAMPLES[shape])
    return content


def _errors(route: Route) -> dict[str, Any]:
    """Error answers by status; several errors of one status are several examples."""
    by_status: dict[int, dict[str, Any]] = {}
    for error in route.errors:
        example = {"summary": _text(error), "value": _example(error)}
        by_status.setdefault(error.status, {})[error.code] = example
    known = {str(reply.status) for reply in route.replies}
    return {
        str(status): _error(status, examples)
        for status, examples in sorted(by_status.items())
        if str(status) not in known
    }


def _error(status: int, examples: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name="ProblemBody")}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {CONTENT_TYPE: {"schema": schema, "examples": examples}},
    }


def _example(error: type[TaskHubError]) -> Any:
    made = EXAMPLE_ERRORS.get(error) or error()
    return msgspec.json.decode(problem(made, "7f3a-1c9").body)


def _text(error: type[TaskHubError]) -> str:
    return (error.__doc__ or "").strip().partition("\n")[0]


def _plain(value: Any) -> Any:
    """A value as its JSON says it."""
    return msgspec.json.decode(msgspec.json.encode(value))
