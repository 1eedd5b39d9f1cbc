"""Problems as exceptions: a class for each type that the API knows, with all that was said."""

from __future__ import annotations

import pickle
from operator import attrgetter

import pytest
from taskhub.client import TaskHub
from taskhub.client import errors as e
from taskhub.errors import TaskHubError
from taskhub.http.problems import Stopping, Unknown
from taskhub.http.routes import ROUTES

from tests.unit.client.server import ID, Server, problem

KINDS: list[type[TaskHubError]] = [Stopping, Unknown]
KINDS += [error for route in ROUTES for error in route.errors]


@pytest.mark.parametrize("kind", sorted(set(KINDS), key=attrgetter("code")))
def test_every_problem_of_the_api_has_its_exception(kind: type[TaskHubError]) -> None:
    """With the status that the API gives it."""
    found = e.BY_CODE[kind.code]

    assert found.code == kind.code
    assert f"{kind.status}: " in (found.__doc__ or "")


async def test_an_exception_says_all_that_the_api_said(server: Server, hub: TaskHub) -> None:
    """For programs in members, for people in one line."""
    items = [
        {"pointer": "/title", "detail": "too long"},
        {"pointer": "", "detail": "odd"},
        {"pointer": "/q", "detail": "column 7: expected a time", "column": 7},
    ]
    server.says(422, problem(422, "invalid", errors=items))

    with pytest.raises(e.Invalid) as caught:
        await hub.create("T")

    told = caught.value
    assert (told.status, told.title) == (422, "Unprocessable Content")
    assert (told.type, told.request_id) == ("urn:taskhub:problem:invalid", "r-1")
    assert [(item.pointer, item.column) for item in told.errors] == [
        ("/title", 0),
        ("", 0),
        ("/q", 7),
    ]
    assert str(told) == "So it is. (/title: too long; /: odd; /q: column 7: expected a time)"


async def test_a_missing_right_is_named(server: Server, hub: TaskHub) -> None:
    """From the challenge."""
    challenge = 'Bearer realm="taskhub", error="insufficient_scope", scope="tasks.write"'
    server.says(403, problem(403, "forbidden"), WWW_Authenticate=challenge)

    with pytest.raises(e.Forbidden) as caught:
        await hub.create("T")

    assert caught.value.scope == "tasks.write"


async def test_a_problem_that_is_not_known_is_still_one(server: Server, hub: TaskHub) -> None:
    """Of a newer server, or of something between that knows RFC 9457."""
    server.says(418, problem(418, "brand-new"))

    with pytest.raises(e.Problem) as caught:
        await hub.get(ID)

    assert type(caught.value) is e.Problem
    assert caught.value.status == 418


def test_exceptions_travel_between_processes() -> None:
    """Test runners and process pools pickle them."""
    body = e.ProblemBody(title="Conflict", detail="So it is.", status=409)

    found = pickle.loads(pickle.dumps(e.Conflict(body, 2.0)))  # noqa: S301 - our own

    assert (type(found), found.detail, found.retry_after) == (e.Conflict, "So it is.", 2.0)
