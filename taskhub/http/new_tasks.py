"""The body of `POST /tasks/batch`: many new tasks, each with what is wrong with it in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from uuid_utils import uuid7

from taskhub.errors import FieldError, Invalid, Malformed
from taskhub.http import following, members, new_task
from taskhub.http.catalog import KnownType
from taskhub.http.following import Names, missing
from taskhub.http.new_task import BatchTask, Birth, Draft, moved
from taskhub.http.queries import ID
from taskhub.http.strict_json import TWICE, repeats, strictly
from taskhub.model import TaskId
from taskhub.ports import Create, NoParent

MOST = 1_000
"""Tasks in one batch."""
ERRORS_MOST = 1_000
"""Errors that one answer lists."""

NO_OBJECT = "needed: an object, such as POST /tasks takes"
MANY = Meta(min_length=1, max_length=MOST, description=f"1 to {MOST} tasks")
Atomic = Annotated[bool, Meta(description="all or none; false: each for itself")]


class NewTasks(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a client may say of many tasks that it wants done."""

    tasks: Annotated[list[BatchTask], MANY]
    atomic: Atomic = True


class _Parts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, with each task as the text that the client has sent for it."""

    tasks: Annotated[list[Raw], MANY]
    atomic: Atomic | UnsetType = UNSET


RULES: Mapping[str, Any] = {"tasks": Annotated[list[Any], MANY], "atomic": Atomic}

_decode = msgspec.json.Decoder(_Parts).decode


class Drafts(msgspec.Struct, frozen=True):
    """What a batch asks for: each task, or what is wrong with it."""

    is_atomic: bool
    each: list[Draft | Invalid]

    @property
    def types(self) -> set[str]:
        """The names of all types that are asked for."""
        return {draft.new.type for draft in self.each if isinstance(draft, Draft)}

    @property
    def named(self) -> list[TaskId]:
        """The ids of tasks that its tasks are to be after, as far as they were named by them."""
        said = (one for draft in self.each if isinstance(draft, Draft) for one in draft.after)
        return [TaskId(one) for one in said if isinstance(one, str) and ID.fullmatch(one)]


def read(body: bytes) -> Drafts:
    """The tasks that a body asks for; raises Malformed, or Invalid where it is no batch at all."""
    try:
        parts = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        raise _explained(body) from None
    if repeats(body, parts):
        raise Malformed(TWICE)
    each = [_draft(place, bytes(text)) for place, text in enumerate(parts.tasks)]
    return Drafts(parts.atomic is not False, each)


class Origin(msgspec.Struct, frozen=True):
    """What all tasks of a batch have in common: who made them, when, in which trace."""

    creator: str
    at: datetime
    trace_parent: str | None
    gone: AbstractSet[TaskId] = frozenset()
    """Tasks that were named and do not exist for who makes these."""


def creates(
    drafts: Drafts, known: Mapping[str, KnownType], origin: Origin
) -> list[Create | Invalid]:
    """Each task as it is to be stored, or what is wrong with it; ids grow in their order."""
    names, made = Names(), list[Create | Invalid]()
    for place, draft in enumerate(drafts.each):
        made.append(
            draft if isinstance(draft, Invalid) else _create(place, draft, known, origin, names)
        )
        one = made[-1]
        names.add(draft, one.item.id if isinstance(one, Create) else None)
    return made


def orphans(each: Sequence[Create | Invalid], refusal: NoParent) -> Invalid:
    """What is said of a batch whose tasks are after some that nothing can be after."""
    errors = [
        error
        for place, one in enumerate(each)
        if isinstance(one, Create)
        for error in moved(
            Invalid(following.refused(one.item.after, refusal)), f"/tasks/{place}"
        ).errors
    ]
    return Invalid(errors[:ERRORS_MOST])


def refused(each: Sequence[object]) -> Invalid | None:
    """All that is wrong with a batch whose tasks stand and fall together."""
    wrong = [one for one in each if isinstance(one, Invalid)]
    if not wrong:
        return None
    count = sum(len(one.errors) for one in wrong)
    listed = list(islice((error for one in wrong for error in one.errors), ERRORS_MOST))
    detail = f"Some members break a rule: {len(wrong)} of {len(each)} tasks; nothing is stored."
    more = f" The first {ERRORS_MOST} of {count} errors are listed." if count > ERRORS_MOST else ""
    return Invalid(listed, detail + more)


def _draft(place: int, text: bytes) -> Draft | Invalid:
    if not text.startswith(b"{"):
        strictly(text)
        return Invalid([FieldError(f"/tasks/{place}", NO_OBJECT)])
    try:
        return new_task.read(text, BatchTask)
    except Invalid as error:
        return moved(error, f"/tasks/{place}")


def _create(
    place: int, draft: Draft, known: Mapping[str, KnownType], origin: Origin, names: Names
) -> Create | Invalid:
    kind = known.get(draft.new.type)
    try:
        after = names.parents(draft)
        if wrong := missing(after, origin.gone):
            raise Invalid(wrong)  # noqa: TRY301 - one border for all that is wrong with a task
        if kind is None:
            raise new_task.unknown_type()
        item = new_task.item(draft, kind, Birth(str(uuid7()), origin.creator, origin.at), after)
        key = new_task.unique_key(draft, kind, origin.at)
        return Create(item=item, trace_parent=origin.trace_parent, unique=key)
    except Invalid as error:
        return moved(error, f"/tasks/{place}")


def _explained(body: bytes) -> Invalid:
    """Why a body is no batch, with every rule that it breaks."""
    value = strictly(body)
    errors = members.broken(value, RULES)
    if "tasks" not in value:
        errors.insert(0, FieldError("/tasks", f"needed: {MANY.description}"))
    return Invalid(errors or [FieldError("", "a member breaks a rule")])
