"""The keys under which tasks are made: what a store keeps for them, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from taskhub.model import Status, TaskItem, Unique

if TYPE_CHECKING:
    from taskhub.ports import Result


class Told(msgspec.Struct, frozen=True):
    """An answer to keep."""

    status: int
    body: bytes


Tell = Callable[["Result"], Told | None]
"""Tells the answer to keep, if any, from what has come of a write: a pure function, for it is
called in the transaction, by whatever thread that runs in.
"""

if TYPE_CHECKING:
    TellOrTold = Told | Tell
else:
    TellOrTold = Any  # no message holds a function, and what reads messages must not look for one


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """An `Idempotency-Key` of one principal, with the answer to keep (stored with the task)."""

    principal: str
    key: str
    request_hash: str
    answer: TellOrTold
    expires_at: datetime


class Replayed(msgspec.Struct, frozen=True):
    """The key was used before with the same request: here is the kept answer."""

    answer: Told


class KeyReused(msgspec.Struct, frozen=True):
    """The key was used before with another request."""


class Kept(msgspec.Struct, frozen=True):
    """What is stored under an `Idempotency-Key`: the request it stands for, and its answer."""

    request_hash: str
    answer: Told


class UniqueKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of which one task of its type holds at a time: see `Unique`."""

    key: str
    states: tuple[Status, ...]
    expires_at: datetime | None = None


class Existing(msgspec.Struct, frozen=True):
    """Another task holds the unique key: none was made."""

    item: TaskItem


_canonical = msgspec.json.Encoder(order="sorted").encode


def unique_text(rule: Unique, payload: Any) -> str:
    """The key of a task with this payload; members that it does not have are as if not named."""
    if rule.key is not UNSET:
        return f"key:{rule.key}"
    if rule.by is UNSET or not isinstance(payload, dict):
        return f"all:{_digest(payload)}"
    return f"by:{_digest({name: payload[name] for name in rule.by if name in payload})}"


def _digest(value: Any) -> str:
    return blake2b(_canonical(value), digest_size=16).hexdigest()


def unique_problems(rule: Unique) -> list[tuple[str, str]]:
    """What is wrong with a rule whose parts are right: the member, and what is expected of it."""
    problems = []
    if rule.key is not UNSET and rule.by is not UNSET:
        problems.append(("by", "key or by, not both"))
    if Status.PENDING not in rule.states:
        problems.append(("states", "Pending is one of them"))
    return problems
