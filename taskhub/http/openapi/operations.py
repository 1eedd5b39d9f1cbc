"""One route as an operation of the description: parameters, body, answers, who may."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from taskhub.http.access import Access, Holders
from taskhub.http.answers import JSON
from taskhub.http.creating import MadeTask
from taskhub.http.openapi import failures
from taskhub.http.openapi.examples import ID, SHAPES, plain
from taskhub.http.openapi.samples import sample
from taskhub.http.openapi.shapes import UUID, schema
from taskhub.http.queries import Parameter
from taskhub.http.route import Field, Message, Reply, Route
from taskhub.http.routes.tasks import TaskPage
from taskhub.model import NAME_PATTERN

OPEN = "service"
"""The tag of what needs no token."""

IN_PATH = re.compile(r"(\w+)/{(\w+)}")
NAME = {"type": "string", "pattern": NAME_PATTERN}


class Describer:
    """Knows all routes and the schemas they share; describes one at a time."""

    def __init__(self, routes: Sequence[Route], known: Mapping[str, Any]) -> None:
        self._routes, self._known = routes, known

    def operation(self, route: Route) -> dict[str, Any]:
        """What a client needs to know of the route."""
        made: dict[str, Any] = {
            "operationId": route.name,
            "tags": [tag(route)],
            "summary": route.text.partition(". ")[0].removesuffix("."),
            "description": _description(route),
            "security": _security(route.access),
            "responses": {
                **self._replies(route),
                **failures.responses(route),
            },
        }
        if parameters := self._parameters(route):
            made["parameters"] = parameters
        if route.body is not None:
            content = self._content(route.body, None)
            made["requestBody"] = {"required": True, "content": {JSON: content}}
        return made

    def webhook(self, message: Message) -> dict[str, Any]:
        """A message that we send, as the operation of whoever hears it."""
        made: dict[str, Any] = {
            "operationId": message.name,
            "summary": message.text.partition(". ")[0].removesuffix("."),
            "description": message.text,
            "requestBody": {
                "required": True,
                "content": {JSON: self._content(message.body, None)},
            },
            "responses": {"2XX": {"description": "It was heard."}},
        }
        if message.fields:
            made["parameters"] = [_field(field) for field in message.fields]
        return made

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        in_path = [_in_path(of, name) for of, name in IN_PATH.findall(route.path)]
        in_query = [self._in_query(parameter) for parameter in route.query]
        return [*in_path, *in_query, *map(_field, route.fields)]

    def _in_query(self, parameter: Parameter) -> dict[str, Any]:
        return {
            "name": parameter.name,
            "in": "query",
            **({"required": True} if parameter.is_needed else {}),
            "description": parameter.rule,
            "schema": parameter.schema,
            "example": sample(parameter.schema, self._known),
        }

    def _replies(self, route: Route) -> dict[str, Any]:
        """By status; of one that has several forms, all of them."""
        made: dict[str, Any] = {}
        for reply in route.replies:
            told = self._reply(reply)
            told["headers"] |= failures.LIMITED if route.limit else {}
            first = made.setdefault(str(reply.status), told)
            if first is not told:
                first["description"] += f" {reply.text}"
                first["content"] |= told["content"]
        return made

    def _reply(self, reply: Reply) -> dict[str, Any]:
        told: dict[str, Any] = {"description": reply.text}
        if reply.body is not None:
            told["content"] = {reply.content_type: self._content(reply.body, reply.example)}
        own = {n: {"description": t, "schema": failures.TEXT} for n, t in reply.headers.items()}
        told["headers"] = {"X-Request-Id": failures.HEADERS["X-Request-Id"], **own}
        if links := self._links(reply):
            told["links"] = links
        return told

    def _content(self, shape: Any, example: Any) -> dict[str, Any]:
        made = schema(shape)
        content: dict[str, Any] = {"schema": made}
        if example is not None:
            content["example"] = plain(example)
        elif written := SHAPES.get(shape):
            content["examples"] = {name: {"value": plain(value)} for name, value in written.items()}
        else:
            content["example"] = sample(made, self._known)
        return content

    def _links(self, reply: Reply) -> dict[str, Any]:
        """Where an answer leads: a new task to what can be done with it, a page to the next."""
        if reply.body is TaskPage:
            cursor = {"cursor": "$response.body#/next"}
            return {"next": {"operationId": "listTasks", "parameters": cursor}}
        if reply.body is not MadeTask or reply.status != HTTPStatus.CREATED:
            return {}
        given = {"id": "$response.body#/id"}
        return {
            route.name: {"operationId": route.name, "parameters": given}
            for route in self._routes
            if route.path.startswith("/tasks/{id}")
        }


def tag(route: Route) -> str:
    """The group that a route belongs to: the first word of its path, or those that are open."""
    return OPEN if route.access is None else route.path.split("/")[1]


def _description(route: Route) -> str:
    access = route.access
    if access is None:
        return route.text
    needed = f"Needs {_holders(access.full)}" if access.full != Holders() else ""
    if access.own != Holders():
        needed += f"{'; for' if needed else 'For'} what one has made oneself, "
        needed += f"{_holders(access.own)} is enough"
    return f"{route.text}\n\n{needed}."


def _holders(holders: Holders) -> str:
    scopes = [f"the scope `{name}`" for name in holders.scopes]
    return " or ".join([*scopes, *(f"the role `{name}`" for name in holders.roles)])


def _security(access: Access | None) -> list[dict[str, list[str]]]:
    """Any one of these is enough; an empty list: nobody is asked."""
    if access is None:
        return []
    return [{"bearer": [way]} for way in (*access.scopes, *access.roles)]


def _in_path(of: str, name: str) -> dict[str, Any]:
    if of == "actors":
        kind, example = failures.TEXT, "worker-1/pool"
    else:
        kind, example = (UUID, ID) if name == "id" else (NAME, "default")
    things = "tasks" if of == "work" else of
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"the {name} of one of the {things}",
        "schema": kind,
        "example": example,
    }


def _field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "in": "header",
        "description": field.text,
        "schema": dict(field.schema),
        "example": field.example,
    }
