"""Anything at all as a body: never a 5xx, never two meanings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskhub.errors import Malformed, TaskHubError
from taskhub.http import new_task
from taskhub.http.catalog import KnownType
from taskhub.http.strict_json import strictly
from taskhub.model import TypeInfo

from tests.unit.http.house import House

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KNOWN = KnownType(TypeInfo("simulate"))
MEMBERS = ["title", "type", "queue", "priority", "payload", "runAt", "delaySeconds", "maxAttempts"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
wishes = st.dictionaries(st.sampled_from(MEMBERS) | st.text(), json_values, max_size=6)
texts = st.builds(json.dumps, wishes | json_values, ensure_ascii=st.booleans())
bodies = st.binary(max_size=300) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body with a piece cut out, or put in twice."""
    body = draw(bodies)
    start, end = sorted(draw(st.tuples(st.integers(0, 300), st.integers(0, 300))))
    return body[:start] + body[start:end] * draw(st.integers(0, 2)) + body[end:]


@given(bodies | damaged())
@settings(max_examples=600)
def test_every_body_is_a_task_or_a_clients_error(body: bytes) -> None:
    """Whatever it is, it is known by name, and its status is 4xx."""
    try:
        draft = new_task.read(body)
        made = new_task.item(draft, KNOWN, new_task.Birth("id", "me", NOW))
    except TaskHubError as error:
        assert 400 <= error.status < 500  # noqa: PT017 - both ends are good
        return
    assert json.loads(bytes(made.payload)) == json.loads(body).get("payload", {})


class Twice(ValueError):
    """Two members of one name."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise Twice
    return dict(pairs)


@st.composite
def objects(draw: st.DrawFn, depth: int = 3) -> str:
    """JSON text with names that may come twice, in odd spellings."""
    names = ["a", "b", "\\u0061", 'q\\"', "\\\\", "é", "\\u00e9"]
    members = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(names))
        nested = depth and draw(st.booleans())
        value = draw(objects(depth - 1)) if nested else json.dumps(draw(st.text(max_size=3)))
        members.append(f'"{name}": {value}' if not nested else f'"{name}": [{value}]')
    return "{" + ", ".join(members) + "}"


@given(objects())
@settings(max_examples=600)
def test_names_that_come_twice_are_always_found_and_never_imagined(text: str) -> None:
    """Counting quotation marks gives the same verdict as looking at every object."""
    body = text.encode("utf-8", "surrogatepass")
    try:
        json.loads(text, object_pairs_hook=once)
    except Twice:
        with pytest.raises(Malformed):
            strictly(body)
    else:
        assert strictly(body) == json.loads(text)


async def test_no_body_gets_a_5xx_over_the_wire(house: House) -> None:
    """The same, through the socket."""

    @given(bodies | damaged())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def collect(body: bytes) -> None:
        sent.append(body)

    sent: list[bytes] = []
    collect()
    for body in sent:
        reply = await house.ask(
            "POST", "/tasks", data=body, headers={"Content-Type": "application/json"}
        )
        assert reply.status in {201, 400, 422}, body
