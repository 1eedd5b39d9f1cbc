"""A plausible value for any schema, for shapes of which nobody has written an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXTS = {
    "date-time": "2026-11-24T22:17:17Z",
    "date": "2026-11-24",
    "uuid": "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21",
    "uri": "https://example.com/",
}
DEEPEST = 8
"""Shapes that contain themselves end here."""


def sample(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that the schema allows; `known` are the components that it may refer to."""
    if "$ref" in schema:
        return sample(known[schema["$ref"].rpartition("/")[2]], known, depth + 1)
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    for word in ("examples", "enum"):
        if schema.get(word):
            return schema[word][0]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return sample(_first_that_says_something(schema[word]), known, depth)
    return _of_type(schema, known, depth)


def _first_that_says_something(ways: list[dict[str, Any]]) -> dict[str, Any]:
    return next((way for way in ways if way.get("type") != "null"), ways[0])


def _of_type(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> Any:
    goes_on = depth <= DEEPEST
    match schema.get("type"):
        case "object" if goes_on:
            members = schema.get("properties", {})
            return {name: sample(members[name], known, depth + 1) for name in members}
        case "array":
            items = schema.get("items") if goes_on else None
            return [sample(items, known, depth + 1)] if items else []
        case "string":
            return TEXTS.get(schema.get("format", ""), "default")
        case "integer" | "number":
            return schema.get("minimum", 0)
        case kind:
            return {"boolean": False, "null": None}.get(str(kind), {})
