"""The members of a JSON body against their rules: every one that is broken, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from taskhub.errors import FieldError, Malformed

T = TypeVar("T")
D = TypeVar("D")

POINTER_LIMIT = 64


def broken(value: Any, rules: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with the members of an object; raises Malformed when it is none."""
    if not isinstance(value, dict):
        raise Malformed("The body must be a JSON object.")
    errors = []
    for name, member in value.items():
        if name not in rules:
            errors.append(FieldError(_pointer(name), "no member of this name is known"))
        elif not fits(member, rules[name]):
            errors.append(FieldError(f"/{name}", rule(rules[name])))
    return errors


def rule(annotated: Any) -> str:
    """The sentence beside a type, which the API's description shows too."""
    return str(annotated.__metadata__[0].description)


def fits(member: Any, annotated: Any) -> bool:
    """Whether a value keeps to its type and the rule beside it."""
    try:
        msgspec.convert(member, annotated)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return False
    return True


def given(value: T | UnsetType, default: D) -> T | D:
    """What was said, else the default."""
    return default if isinstance(value, UnsetType) else value


def step(name: str) -> str:
    """A member's part of a JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _pointer(name: str) -> str:
    """The JSON pointer (RFC 6901) of a member; of the whole body where its name is too long."""
    if len(name) > POINTER_LIMIT or not name.isprintable():
        return ""
    return step(name)
