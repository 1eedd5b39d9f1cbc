"""Every route against every kind of token, and the description against what is served."""

from __future__ import annotations

import pytest
from taskhub.http import limits
from taskhub.http.openapi import described
from taskhub.http.route import Route
from taskhub.http.routes import MESSAGES, ROUTES

from tests.unit.http.house import House, bearer

SERVED = described(ROUTES, MESSAGES)
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
    ("POST", "/tasks/batch"): {"writer", "creator"},
    ("GET", "/tasks"): {"reader"},
    ("GET", "/tasks/{id}"): {"reader"},
    ("GET", "/tasks/{id}/attempts"): {"reader"},
    ("GET", "/tasks/{id}/parents"): {"reader"},
    ("GET", "/tasks/{id}/children"): {"reader"},
    ("GET", "/tasks/failures"): {"reader"},
    ("GET", "/events"): {"reader"},
    ("GET", "/tasks/{id}/events"): {"reader"},
    ("GET", "/schedules"): {"reader"},
    ("POST", "/schedules"): {"operator", "admin"},
    ("GET", "/schedules/{name}"): {"reader"},
    ("PUT", "/schedules/{name}"): {"operator", "admin"},
    ("DELETE", "/schedules/{name}"): {"operator", "admin"},
    ("GET", "/schedules/{name}/runs"): {"reader"},
    ("POST", "/schedules/{name}/pause"): {"operator", "admin"},
    ("POST", "/schedules/{name}/resume"): {"operator", "admin"},
    ("POST", "/schedules/{name}/run"): {"operator", "admin"},
    ("GET", "/cron"): {"reader"},
    ("POST", "/tasks/{id}/cancel"): {"writer", "operator", "admin"},
    ("POST", "/tasks/{id}/retry"): {"operator", "admin"},
    ("POST", "/tasks/bulk/cancel"): {"operator", "admin"},
    ("POST", "/tasks/bulk/retry"): {"operator", "admin"},
    ("POST", "/tasks/bulk/delete"): {"operator", "admin"},
    ("GET", "/types"): {"reader", "writer", "creator"},
    ("GET", "/types/{name}"): {"reader", "writer", "creator"},
    ("DELETE", "/types/{name}"): {"operator", "admin"},
    ("GET", "/tasks/{id}/why"): {"reader"},
    ("GET", "/queues"): {"operator", "admin"},
    ("POST", "/queues/{name}/pause"): {"operator", "admin"},
    ("POST", "/queues/{name}/resume"): {"operator", "admin"},
    ("POST", "/queues/{name}/drain"): {"operator", "admin"},
    ("POST", "/types/{name}/pause"): {"operator", "admin"},
    ("POST", "/types/{name}/resume"): {"operator", "admin"},
    ("POST", "/types/{name}/drain"): {"operator", "admin"},
    ("PUT", "/work/types"): {"worker"},
    ("POST", "/work/claim"): {"worker"},
    ("POST", "/work/{id}/renew"): {"worker"},
    ("POST", "/work/{id}/progress"): {"worker"},
    ("POST", "/work/{id}/complete"): {"worker"},
    ("POST", "/work/{id}/fail"): {"worker"},
    ("POST", "/work/{id}/release"): {"worker"},
    ("GET", "/actors"): {"operator", "admin"},
    ("POST", "/actors/{name}/restart"): {"admin"},
    ("GET", "/audit"): {"operator", "admin"},
    ("GET", "/health"): set(TOKENS),
    ("GET", "/ready"): set(TOKENS),
    ("GET", "/metrics"): set(TOKENS),
    ("GET", "/openapi.json"): set(TOKENS),
    ("GET", "/docs"): set(TOKENS),
}


def filled(path: str) -> str:
    """A path with names in it: of a task, a schedule that are not there."""
    return path.replace("{id}", UNKNOWN).replace("{name}", "default")


def test_every_route_that_writes_counts_against_a_limit_and_no_other_does() -> None:
    """A new one that nobody limits fails here."""
    writes = [route for route in SERVED if route.method != "GET"]

    assert writes
    assert [route.path for route in SERVED if bool(route.limit) != (route in writes)] == []
    assert {route.limit for route in writes} <= {limits.CREATE, limits.ACTS, limits.WORK}


@pytest.mark.parametrize("route", SERVED, ids=lambda route: f"{route.method} {route.path}")
async def test_each_route_lets_in_whom_it_should(house: House, route: Route) -> None:
    """A route that is missing in the table above fails here: nobody forgets one."""
    del house.client.headers["Authorization"]
    path = filled(route.path)
    as_json = {"Accept": "application/json"}  # a stream would not end

    statuses = {
        name: (await house.ask(route.method, path, headers=headers | as_json)).status
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
        reply = await house.ask("PATCH", filled(path))
        allowed = set(reply.headers["Allow"].split(",")) - {"HEAD"}
        assert allowed == {method.upper() for method in operations}
    assert {(route.method.lower(), route.path) for route in SERVED} == {
        (method, path) for path, operations in told["paths"].items() for method in operations
    }
