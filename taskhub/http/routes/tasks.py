"""The routes of tasks."""

from __future__ import annotations

import msgspec

from taskhub.errors import Conflict, NotFound
from taskhub.http import creating, creating_many, following, limits, operating, showing
from taskhub.http.creating_many import BatchAnswer
from taskhub.http.idempotency import IDEMPOTENCY_KEY, SCHEMA
from taskhub.http.new_task import NewTask
from taskhub.http.new_tasks import MOST, NewTasks
from taskhub.http.problems import Backlogged, Exists, KeyReused, LongHeader
from taskhub.http.queries import LIST, WAIT
from taskhub.http.route import (
    CANCEL,
    CREATE,
    NEEDS_TOKEN,
    OPERATE,
    READ,
    READS,
    TAKES_BODY,
    WRITES,
    Field,
    Reply,
    Route,
)
from taskhub.model import TaskItem

ONE_ETAG = {"ETag": "changes with every change of the task"}

KEY = Field(
    IDEMPOTENCY_KEY,
    "The same key and body give the same answer and no second task while the key is kept: 24 "
    "hours, unless configured otherwise. In quotes or bare.",
    '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    SCHEMA,
)
REPLAYED = {"Idempotency-Replayed": "`true`: the kept answer of an earlier request"}
MAKES = (*TAKES_BODY, KeyReused, Backlogged, *WRITES)
"""What can go wrong where tasks are made."""


class TaskPage(msgspec.Struct, frozen=True):
    """A page of tasks, newest first, and the cursor of the next (null: this was the last).

    `stopped`: it ended early, for the search has looked at enough tasks; go on with the cursor,
    also where there are no items.
    """

    items: list[TaskItem]
    next: str | None
    stopped: bool = False


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/tasks",
        name="createTask",
        text="Store a new task. The answer comes when it is on disk; no crash takes it away.",
        handler=creating.create,
        access=CREATE,
        limit=limits.CREATE,
        body=NewTask,
        fields=(
            KEY,
            Field(
                "Prefer", "`wait=N`: answer when the task has ended, or after N seconds.", "wait=5"
            ),
        ),
        replies=(
            Reply(
                201,
                "The task is on disk, and those that follow it.",
                creating.MadeTask,
                headers={"Location": "where the task is", **REPLAYED},
            ),
            Reply(
                200,
                "Another task holds its unique key: this one, as it is now. None was made.",
                TaskItem,
                headers={
                    "Location": "where the task is",
                    "Task-Existing": "`true`",
                    **REPLAYED,
                },
            ),
        ),
        errors=(*MAKES, Exists),
    ),
    Route(
        method="POST",
        path="/tasks/batch",
        name="createTasks",
        text=(
            f"Store up to {MOST:,} new tasks in one transaction. All or none, or with "
            "`atomic: false` each for itself. The answer comes when they are on disk."
        ),
        handler=creating_many.create_many,
        access=CREATE,
        policy="createTask",
        limit=limits.CREATE,
        body=NewTasks,
        fields=(KEY,),
        replies=(
            Reply(201, "All tasks are on disk.", BatchAnswer, headers=REPLAYED),
            Reply(200, "All there were: they hold the unique keys.", BatchAnswer, headers=REPLAYED),
            Reply(
                207,
                "Not all are, for `atomic` was false: each item says what has become of it.",
                BatchAnswer,
                headers=REPLAYED,
            ),
        ),
        errors=MAKES,
    ),
    Route(
        method="GET",
        path="/tasks",
        name="listTasks",
        text="A page of tasks, newest first. A page may end early when its tasks are large.",
        handler=showing.find,
        access=READ,
        query=LIST,
        replies=(Reply(200, "The page.", TaskPage),),
        errors=(*NEEDS_TOKEN, LongHeader, *READS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}",
        pattern="/tasks/{id:(?!batch$)[^/]+}",
        name="getTask",
        text="One task as it is, or once it has ended.",
        handler=showing.show,
        access=READ,
        query=WAIT,
        fields=(Field("If-None-Match", "304 while the task is still the same.", '"4bd1"'),),
        replies=(
            Reply(200, "The task.", TaskItem, headers=ONE_ETAG),
            Reply(304, "The task has not changed.", headers=ONE_ETAG),
        ),
        errors=(*NEEDS_TOKEN, NotFound, *READS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/parents",
        name="listParents",
        text="The tasks that one is after: how they stand, and what they have made.",
        handler=following.parents,
        access=READ,
        policy="getTask",
        replies=(Reply(200, "The tasks, in its order.", following.ParentList),),
        errors=(*NEEDS_TOKEN, NotFound, *READS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/children",
        name="listChildren",
        text="A page of the tasks that are after one, newest first: how they stand, in short.",
        handler=following.children,
        access=READ,
        policy="getTask",
        query=following.CHILDREN,
        replies=(Reply(200, "The page.", following.ChildPage),),
        errors=(*NEEDS_TOKEN, NotFound, *READS),
    ),
    Route(
        method="POST",
        path="/tasks/{id}/cancel",
        name="cancelTask",
        text="Cancel a task: its creator may, and operators.",
        handler=operating.cancel,
        access=CANCEL,
        limit=limits.ACTS,
        replies=(
            Reply(200, "It was waiting and is cancelled.", TaskItem),
            Reply(202, "It runs and is asked to stop.", TaskItem),
        ),
        errors=(*NEEDS_TOKEN, NotFound, Conflict, *WRITES),
    ),
    Route(
        method="POST",
        path="/tasks/{id}/retry",
        name="retryTask",
        text="Let a failed or cancelled task begin anew, with all its attempts.",
        handler=operating.retry,
        access=OPERATE,
        limit=limits.ACTS,
        replies=(Reply(200, "It waits again.", TaskItem),),
        errors=(*NEEDS_TOKEN, NotFound, Conflict, *WRITES),
    ),
)
