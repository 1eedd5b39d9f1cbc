"""Acts on many tasks at once, in values: what is asked of a store, what it answers; no SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from taskhub.audit import Audit
from taskhub.model import FINAL, Status, TaskId
from taskhub.search import Field, Query, one_of


class Act(StrEnum):
    """What can be done with many tasks."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


ALLOWED: Mapping[Act, frozenset[Status]] = {
    Act.CANCEL: frozenset({Status.PENDING, Status.PROCESSING}),
    Act.RETRY: frozenset({Status.FAILED, Status.CANCELLED}),
    Act.DELETE: FINAL,
}
"""The states in which a task lets each act be done."""


class Bulk(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Do the act with each of these tasks whose state allows it now. Result: Acted.

    As Cancel and Requeue do it, without showing the tasks; what runs and is asked to stop already
    counts as skipped, and so does a task to be deleted while one that is after it lives. With
    `audit` an entry with the counts is made in the same transaction.
    """

    act: Act
    ids: Sequence[TaskId]
    audit: Audit | None = None


class Acted(msgspec.Struct, frozen=True):
    """How many were changed and how many not; `stopping` of the changed run and are asked to."""

    changed: int
    skipped: int
    stopping: int = 0


def allowed(act: Act) -> Query:
    """The tasks whose state allows it."""
    return one_of(Field.STATUS, *sorted(ALLOWED[act]))


def entry(act: Act, acted: Acted, audit: Audit) -> Audit:
    """What the audit log keeps: the counts, and the search that the message of the write is."""
    return msgspec.structs.replace(audit, message=told(act, acted, audit.message))


def told(act: Act, acted: Acted, search: str) -> str:
    """An act in one line; the log of the process says the same."""
    return f"bulk {act}: {acted.changed} changed, {acted.skipped} skipped: {search}"
