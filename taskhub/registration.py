"""What is kept of the types of tasks beside their schemas: who does them still, and since when not.

A row of `Types` is never deleted by a deploy: what has no worker any more is known by its silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from taskhub.model import TypeInfo

SAY_EVERY = 30.0
"""Seconds between two times that a worker says of its types that it does them."""
SILENT_AFTER = timedelta(seconds=3 * SAY_EVERY)
"""Nobody does a type of which nobody has said so for so long."""
WAITING_LIMIT = 10_000
"""Waiting tasks that are counted of a type in one queue: beyond that there are at least as many."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A worker does these types now. Result: Touched; less than all: some are not registered."""

    types: Sequence[str]


class Forget(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take a type away; its tasks stay. Result: Touched (0: there is none of this name)."""

    name: str


TypeAct = Seen | Forget


class Standing(StrEnum):
    """How a type of tasks stands."""

    ACTIVE = "active"
    """Some worker does it."""
    AWAY = "away"
    """Known, but no worker has said for a while that it does it."""
    UNKNOWN = "unknown"
    """Tasks of it wait, and nobody has registered it."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A type as the store knows it; no times: there are only tasks of it, `waiting` ones."""

    info: TypeInfo
    registered_at: datetime | None = None
    seen_at: datetime | None = None
    waiting: int = 0
    is_fixed: bool = False
    """Whether every TaskHub knows it, registered or not."""

    def standing(self, now: datetime) -> Standing:
        """Whether anybody does it at this time of the store's clock, or ours."""
        if self.registered_at is None and not self.is_fixed:
            return Standing.UNKNOWN
        is_seen = self.seen_at is not None and now - self.seen_at < SILENT_AFTER
        return Standing.ACTIVE if is_seen else Standing.AWAY


class TypeReads(Protocol):
    """What a store tells of types."""

    async def types(self) -> list[TypeInfo]:
        """Every type that a worker has registered; the same list until there are others."""

    async def registrations(self) -> list[Registration]:
        """The same with who does them; and those of which tasks wait, registered or not."""
