"""Schemas of strangers: what keeps a validator busy is refused, what people write is taken."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.http.external.schemas import is_cheap


def doubling(levels: int) -> dict[str, Any]:
    """Each level means the next one twice."""
    defs: dict[str, Any] = {
        f"l{level}": {"allOf": [{"$ref": f"#/$defs/l{level + 1}"}] * 2} for level in range(levels)
    }
    return {"$ref": "#/$defs/l0", "$defs": defs | {f"l{levels}": {"type": "object"}}}


POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        POINT,
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://x.test/a"},
        {
            "properties": {"from": {"$ref": "#/$defs/a~1b"}, "to": {"$ref": "#/$defs/a%7E1b"}},
            "$defs": {"a/b": POINT},
        },
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}},
        {"anyOf": [{"type": "string"}, {"$ref": "#/anyOf/0"}]},
        {"default": {"id": "a"}, "examples": [{"id": "b"}]},
        doubling(5),
    ],
)
def test_what_people_write_is_taken(schema: dict[str, Any]) -> None:
    """Parts that are used in several places too."""
    assert is_cheap(schema)


@pytest.mark.parametrize(
    "schema",
    [
        doubling(200),
        doubling(12),
        {"$ref": "#"},
        {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
        {"properties": {"default": {"$ref": "#/properties/default"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$dynamicRef": "#a", "$dynamicAnchor": "a"},
        {"$defs": {"a": {"$anchor": "x"}}, "$ref": "#x"},
        {"$defs": {"a": {"$id": "https://x.test/a", "$ref": "#/$defs/b"}}},
        {"$ref": "#/$defs/none"},
        {"$ref": "#/anyOf/1", "anyOf": [{}]},
        {"$ref": "https://x.test/a"},
        {"$schema": "http://json-schema.org/draft-04/schema#"},
        {"$schema": 5},
        {"type": "nothing"},
    ],
)
def test_what_would_keep_all_requests_waiting_is_refused(schema: dict[str, Any]) -> None:
    """Nobody has to try it out to know: the references alone tell."""
    assert not is_cheap(schema)
