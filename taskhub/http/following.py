"""`after` of new tasks: which tasks they name, and whether this caller may name them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import msgspec

from taskhub.errors import FieldError, Invalid
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.new_task import BatchTask, Draft
from taskhub.http.queries import CURSOR, ID, limit_of, no_query, values
from taskhub.http.reading import in_time
from taskhub.http.showing import encode_item, fetch_theirs, may_read, task_id
from taskhub.model import FOLLOWERS_MOST, Child, Parent, TaskId, TaskItem
from taskhub.ports import NoParent

NO_TASK = "there is no such task"
NOT_BEFORE = "no task before it in this batch has this place"
NO_NAME = "no task before it in this batch has this name, and it is no id of a task"
NOT_STORED = "this task of the batch is not stored"
SAME_NAME = "a task before it in this batch has this name"
FULL = f"{FOLLOWERS_MOST:,} tasks wait for it already"
OUTSIDE_MOST = 1_000
"""Tasks outside of a batch that its tasks can be after."""
TOO_MANY = f"the tasks of a batch are after at most {OUTSIDE_MOST:,} tasks outside of it"

Draftish = Draft | Invalid


class Names:
    """The tasks of a batch, as those that stand behind them call them."""

    def __init__(self) -> None:
        self._ids: list[TaskId | None] = []
        self._places: dict[str, int] = {}

    def add(self, draft: Draftish, id_: TaskId | None) -> None:
        """One more task; without an id it is not stored."""
        new = draft.new if isinstance(draft, Draft) else None
        if isinstance(new, BatchTask) and isinstance(new.name, str):
            self._places.setdefault(new.name, len(self._ids))
        self._ids.append(id_)

    def parents(self, draft: Draft) -> list[TaskId]:
        """What a task is after; raises Invalid with pointers into that task."""
        found = [self._one(said) for said in draft.after]
        errors = [
            FieldError(f"/after/{place}", one.detail)
            for place, one in enumerate(found)
            if isinstance(one, FieldError)
        ]
        new = draft.new
        if isinstance(new, BatchTask) and isinstance(new.name, str) and new.name in self._places:
            errors.append(FieldError("/name", SAME_NAME))
        if errors:
            raise Invalid(errors)
        return [one for one in found if not isinstance(one, FieldError)]

    def _one(self, said: str | int) -> TaskId | FieldError:
        place = said if isinstance(said, int) else self._places.get(said)
        if place is None and isinstance(said, str):
            return TaskId(said) if ID.fullmatch(said) else FieldError("", NO_NAME)
        if place is None or place >= len(self._ids):
            return FieldError("", NOT_BEFORE)
        return self._ids[place] or FieldError("", NOT_STORED)


async def strangers(call: Call, ids: Sequence[TaskId]) -> set[TaskId]:
    """Those of these tasks that do not exist for this caller: a child may read their results."""
    asked = list(dict.fromkeys(ids))
    if len(asked) > OUTSIDE_MOST:
        raise Invalid([FieldError("/tasks", TOO_MANY)])
    items = await in_time(call.context.store.get(asked))
    return set(asked) - {item.id for item in items if _may_name(call, item)}


def _may_name(call: Call, item: TaskItem) -> bool:
    return item.created_by == call.principal.subject or may_read(call, item)


def missing(
    after: Sequence[TaskId], gone: Container[TaskId], detail: str = NO_TASK
) -> list[FieldError]:
    """What is said of those that nothing can be after."""
    return [FieldError(f"/after/{place}", detail) for place, one in enumerate(after) if one in gone]


def refused(after: Sequence[TaskId], refusal: NoParent) -> list[FieldError]:
    """What is said of those for which the store has refused a task."""
    return missing(after, refusal.ids, FULL if refusal.are_full else NO_TASK)


class ParentList(msgspec.Struct, frozen=True):
    """The tasks that one is after, in the order in which they were named."""

    items: list[Parent]


async def parents(call: Call) -> Answer:
    """What has become of the tasks that one is after; of strangers' tasks only how they stand."""
    no_query(call.request)
    item = await fetch_theirs(call, task_id(call))
    found = await in_time(call.context.store.parents(item.id))
    theirs = await in_time(call.context.store.get([parent.id for parent in found]))
    seen: Mapping[TaskId, bool] = {one.id: may_read(call, one) for one in theirs}
    told = [parent if seen.get(parent.id) else _bare(parent) for parent in found]
    return Answer(200, encode_item(ParentList(told)))


class ChildPage(msgspec.Struct, frozen=True):
    """Tasks that are after one, newest first; `next` is the cursor of the next page."""

    items: list[Child]
    next: TaskId | None


CHILDREN = (CURSOR, limit_of("tasks"))


async def children(call: Call) -> Answer:
    """A page of the tasks that are after one, without those that one may not read."""
    said = values(call.request.query, CHILDREN)
    limit = said.get("limit", 50)
    item = await fetch_theirs(call, task_id(call))
    found = await in_time(call.context.store.children(item.id, said.get("cursor"), limit + 1))
    page, is_more = found[:limit], len(found) > limit
    theirs = [child for child in page if may_read(call, child)]
    return Answer(200, encode_item(ChildPage(theirs, page[-1].id if is_more else None)))


def _bare(parent: Parent) -> Parent:
    return Parent(id=parent.id, status=parent.status)
