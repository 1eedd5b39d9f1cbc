"""What is asked of a store's tasks and what it answers: values; how they are found is its own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taskhub.model import TaskId, TaskItem
from taskhub.search import EVERYTHING, Query

READS = 1_000_000
"""How many tasks one question may look at; past it the answer says where to go on."""


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that match, newest first, from `cursor` on: the `next` of the answer before.

    Where no index leads to them a store looks at up to about `reads` tasks, and only for a while.
    """

    where: Query = EVERYTHING
    cursor: TaskId | None = None
    limit: int = 50
    reads: int = READS


class Page(msgspec.Struct, frozen=True):
    """Tasks, and where the next page begins (None: this was the last).

    `stopped`: it ended early, for enough was looked at; there may be more, even beside no tasks.
    """

    items: Sequence[TaskItem]
    next: TaskId | None
    stopped: bool = False


class IdPage(msgspec.Struct, frozen=True):
    """The same with the ids alone."""

    ids: Sequence[TaskId]
    next: TaskId | None
    stopped: bool = False


class Count(msgspec.Struct, frozen=True):
    """How many match, as far as it was looked; `next`: where to go on counting (None: all)."""

    count: int
    next: TaskId | None
