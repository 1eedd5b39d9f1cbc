"""The schemas of all types' payloads, as parts of the API's description; they rule nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskhub.http.openapi.shapes import REFERENCE
from taskhub.model import DEFAULTS_KEY, TypeInfo

BY_TYPE = "x-taskhub-payloads"
"""The member of the schemas of new tasks that names the schema of the payload of each type."""

TAKERS = ("NewTask", "BatchTask", "Step")
"""The shapes of new tasks."""

_NO_SCHEMAS = frozenset({"const", "enum", "default", "example", "examples"})
"""Keywords whose values are values, whatever they look like."""


def with_payloads(known: dict[str, Any], infos: Sequence[TypeInfo]) -> dict[str, Any]:
    """The components and those of the types; those of new tasks say which type takes which."""
    places = {info.name: component(info.name) for info in infos}
    made = {places[info.name]: payload(info) for info in infos}
    by_type = {name: {"$ref": REFERENCE.format(name=place)} for name, place in places.items()}
    takers = {name: known[name] | {BY_TYPE: by_type} for name in TAKERS if name in known}
    return known | made | takers


def component(name: str) -> str:
    """What the schema of a type's payload is called; a component's name has no colon."""
    return f"Payload.{name.replace(':', '_3A_')}"


def payload(info: TypeInfo) -> dict[str, Any]:
    """The schema of a type's payload; what it refers to in itself is found where it now stands."""
    rules = {name: rule for name, rule in info.schema.items() if name != DEFAULTS_KEY}
    moved: dict[str, Any] = _moved(rules, REFERENCE.format(name=component(info.name)))
    return moved


def _moved(value: Any, place: str) -> Any:
    match value:
        case dict():
            return {name: _member(name, part, place) for name, part in value.items()}
        case list():
            return [_moved(part, place) for part in value]
        case _:
            return value


def _member(name: str, part: Any, place: str) -> Any:
    if name == "$ref" and isinstance(part, str):
        return f"{place}{part[1:]}" if part == "#" or part.startswith("#/") else part
    return part if name in _NO_SCHEMAS else _moved(part, place)
