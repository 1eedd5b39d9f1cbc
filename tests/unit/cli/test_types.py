"""`taskhub types`: what it shows of types, and how one is forgotten."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.cli.conftest import Hub, Run, problem


def row(name: str, **changes: Any) -> dict[str, Any]:
    """A type as the API shows it."""
    return {
        "name": name,
        "payloadSchema": {"properties": {"url": {}, "width": {}}, "required": ["url"]},
        "queue": "images",
        "standing": "active",
        "waiting": 3,
        "seenAt": "2030-01-31T08:00:00.5Z",
        **changes,
    }


def test_types_are_a_line_each(run: Run, hub: Hub) -> None:
    """With the members of their payloads; what nobody has registered has none."""
    gone = row("old", standing="unknown", seenAt=None, payloadSchema={})
    hub.says(200, {"items": [row("resize"), gone]})

    ended = run("types")

    first, second, third = [line.split() for line in ended.out.splitlines()]
    assert first == ["TYPE", "STANDING", "WAITING", "QUEUE", "SEEN", "PAYLOAD"]
    assert second == ["resize", "active", "3", "images", "2030-01-31", "08:00:00", "url", "width?"]
    assert third == ["old", "unknown", "3", "images", "-", "-"]


def test_for_programs_there_is_json(run: Run, hub: Hub) -> None:
    """One type a line, or one alone."""
    hub.says(200, {"items": [row("a"), row("b")]})
    hub.says(200, row("a"))

    assert [json.loads(line) for line in run("types", "--json").out.splitlines()] == [
        row("a"),
        row("b"),
    ]
    assert json.loads(run("types", "show", "a").out) == row("a")
    assert hub.requests[-1].path == "/types/a"


def test_a_type_is_forgotten_by_its_name(run: Run, hub: Hub) -> None:
    """Whatever the name is made of."""
    hub.says(204, b"")

    ended = run("types", "forget", "a/b")

    assert (ended.code, ended.out) == (0, "")
    assert (hub.requests[-1].method, hub.requests[-1].path) == ("DELETE", "/types/a%2Fb")


def test_a_refusal_is_told(run: Run, hub: Hub) -> None:
    """Somebody does it still."""
    hub.says(409, problem(409, "A worker does this type."))

    ended = run("types", "forget", "resize")

    assert ended.code == 1
    assert "A worker does this type." in ended.err
