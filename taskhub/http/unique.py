"""`unique` of a new task: its rules, and the key that the task is to hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from taskhub.errors import FieldError, Invalid
from taskhub.http.members import broken
from taskhub.keys import UniqueKey, unique_problems, unique_text
from taskhub.model import (
    Unique,
    UniqueBy,
    UniqueSeconds,
    UniqueStates,
    UniqueText,
)

Asked = Annotated[
    Unique | None,
    Meta(description="an object with key or by, seconds, states; null: as many as you like"),
]
RULES: Mapping[str, Any] = {
    "key": UniqueText,
    "by": UniqueBy,
    "seconds": UniqueSeconds,
    "states": UniqueStates,
}
NO_MEMBER = "names no member of the payload"


def parts_broken(value: Mapping[str, Any]) -> list[FieldError]:
    """Every rule that an object breaks which is no `unique`."""
    return [FieldError(f"/unique{e.pointer}", e.detail) for e in broken(value, RULES)]


def refuse_nonsense(asked: Unique) -> None:
    """Raise Invalid where each part is right and the whole is not."""
    if problems := unique_problems(asked):
        raise Invalid([FieldError(f"/unique/{member}", rule) for member, rule in problems])


def wanted(
    asked: Unique | UnsetType | None, usual: Unique | UnsetType, payload: Any, at: datetime
) -> UniqueKey | None:
    """The key that a task made at this time asks for: as it says itself, or its type."""
    if asked is None or (asked is UNSET and usual is UNSET):
        return None
    if isinstance(asked, Unique):
        _refuse_strange_names(asked, payload)
        usual = asked
    assert isinstance(usual, Unique)
    seconds = usual.seconds
    return UniqueKey(
        key=unique_text(usual, payload),
        states=usual.states,
        expires_at=None if seconds is UNSET else at + timedelta(seconds=seconds),
    )


def _refuse_strange_names(asked: Unique, payload: Any) -> None:
    """A slip would make all tasks of the type the same one. Raises Invalid."""
    names = () if asked.by is UNSET else asked.by
    known = payload if isinstance(payload, dict) else {}
    errors = [
        FieldError(f"/unique/by/{place}", NO_MEMBER)
        for place, name in enumerate(names)
        if name not in known
    ]
    if errors:
        raise Invalid(errors)
