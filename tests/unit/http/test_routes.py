"""Every route against every kind of token, and the description against what is served."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from taskhub.http.openapi import described, document
from taskhub.http.route import Route
from taskhub.http.routes import ROUTES

from tests.unit.http.house import House, bearer

SERVED = described(ROUTES)
UNKNOWN = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"

TOKENS: dict[str, dict[str, str]] = {
    "nobody": {},
    "reader": bearer(scope="tasks.read"),
    "writer": bearer(scope="tasks.write"),
    "worker": bearer(scope="tasks.work"),
    "nothing": bearer(scope=None),
    "creator": bearer(scope=None, role="Task.Creator"),
    "operator": bearer(scope=None, role="Operator"),
    "admin": bearer(scope=None, role="Admin"),
}
MAY: dict[tuple[str, str], set[str]] = {
    ("POST", "/tasks"): {"writer", "creator"},
    ("GET", "/tasks"): {"reader"},
    ("GET", "/tasks/{id}"): {"reader"},
    ("POST", "/tasks/{id}/cancel"): {"writer", "operator", "admin"},
    ("POST", "/tasks/{id}/retry"): {"operator", "admin"},
    ("GET", "/actors"): {"operator", "admin"},
    ("GET", "/health"): set(TOKENS),
    ("GET", "/ready"): set(TOKENS),
    ("GET", "/metrics"): set(TOKENS),
    ("GET", "/openapi.json"): set(TOKENS),
}


@pytest.mark.parametrize("route", SERVED, ids=lambda route: f"{route.method} {route.path}")
async def test_each_route_lets_in_whom_it_should(house: House, route: Route) -> None:
    """A route that is missing in the table above fails here: nobody forgets one."""
    del house.client.headers["Authorization"]
    path = route.path.replace("{id}", UNKNOWN)

    statuses = {
        name: (await house.ask(route.method, path, headers=headers)).status
        for name, headers in TOKENS.items()
    }

    let_in = {name for name, status in statuses.items() if status not in {401, 403}}
    assert let_in == MAY[route.method, route.path]
    assert statuses["nobody"] == 401 or route.access is None
    assert max(statuses.values()) < 500


async def test_what_is_described_is_served_and_the_reverse(house: House) -> None:
    """The document is made from the table, and so is the router."""
    told = (await house.ask("GET", "/openapi.json")).json

    for path, operations in told["paths"].items():
        reply = await house.ask("PATCH", path.replace("{id}", UNKNOWN))
        allowed = set(reply.headers["Allow"].split(",")) - {"HEAD"}
        assert allowed == {method.upper() for method in operations}
    assert set(itertools.product(told["paths"], ())) == set()
    assert {(route.method.lower(), route.path) for route in SERVED} == {
        (method, path) for path, operations in told["paths"].items() for method in operations
    }


def test_the_description_is_whole() -> None:
    """Every reference leads somewhere; ids are unique; every example fits its shape's names."""
    told = document(SERVED)
    schemas = told["components"]["schemas"]

    for reference in references(told):
        assert reference.removeprefix("#/components/schemas/") in schemas
    operations = [op for path in told["paths"].values() for op in path.values()]
    assert len({op["operationId"] for op in operations}) == len(operations) == len(SERVED)
    assert all(op["responses"] and op["summary"] for op in operations)
    for content in contents(told):
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        examples = [e["value"] for e in content.get("examples", {}).values()]
        for example in [*examples, *([content["example"]] if "example" in content else [])]:
            assert set(example) <= set(schemas[name]["properties"])
            assert set(schemas[name].get("required", ())) <= set(example)


def test_errors_are_described_with_the_answers_they_give() -> None:
    """A client can be written from the document alone."""
    told = document(SERVED)["paths"]["/tasks"]["post"]["responses"]

    assert set(told) >= {"201", "400", "401", "403", "408", "413", "415", "422", "503", "507"}
    examples = told["422"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"invalid", "key-reused"}
    assert examples["invalid"]["value"]["errors"][0]["pointer"] == "/title"


def references(value: Any) -> list[str]:
    """Every `$ref` below."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for inner in value.values() for ref in references(inner)]
    return [r for inner in value for r in references(inner)] if isinstance(value, list) else []


def contents(value: Any) -> list[Any]:
    """Every media type below that has a schema."""
    if isinstance(value, dict):
        own = [c for c in value.get("content", {}).values() if "schema" in c]
        return own + [content for inner in value.values() for content in contents(inner)]
    return [c for inner in value for c in contents(inner)] if isinstance(value, list) else []


def test_the_description_is_json() -> None:
    """Whatever the table holds can be written down."""
    assert msgspec.json.decode(msgspec.json.encode(document(SERVED)))["openapi"] == "3.1.0"
