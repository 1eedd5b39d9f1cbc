"""The one table of routes: who may, what goes in and out; everything else is made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from taskhub.errors import (
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    StoreFull,
    TaskHubError,
    Unauthorized,
)
from taskhub.http import creating, operating, showing, watching
from taskhub.http.answers import Answer
from taskhub.http.auth import Principal
from taskhub.http.call import Call
from taskhub.http.context import ActorRow
from taskhub.http.new_task import NewTask
from taskhub.http.problems import (
    BadHeader,
    BadQuery,
    KeyReused,
    TooLarge,
    TooSlow,
    WrongMedia,
)
from taskhub.http.queries import LIST, WAIT, Parameter
from taskhub.model import TaskItem
from taskhub.obs.exposition import CLASSIC

Handler = Callable[[Call], Awaitable[Answer]]


class Access(msgspec.Struct, frozen=True):
    """Who may: holders of the scope, or of one of the roles."""

    scope: str = ""
    roles: frozenset[str] = frozenset()

    def admits(self, principal: Principal) -> bool:
        """Whether this principal may."""
        has_scope = bool(self.scope) and self.scope in principal.scopes
        return has_scope or not self.roles.isdisjoint(principal.roles)


class TaskPage(msgspec.Struct, frozen=True):
    """A page of tasks, newest first, and the cursor of the next (null: this was the last)."""

    items: list[TaskItem]
    next: str | None


class ActorList(msgspec.Struct, frozen=True):
    """Every actor of the tree."""

    items: list[ActorRow]


class Reply(msgspec.Struct, frozen=True):
    """A good answer: what it means, the shape of its body, header fields beside it."""

    status: int
    text: str
    body: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


class Field(msgspec.Struct, frozen=True):
    """A header field that a client may send."""

    name: str
    text: str
    example: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `access` None: nobody needs to say who they are."""

    method: str
    path: str
    name: str
    text: str
    handler: Handler
    access: Access | None = None
    body: Any = None
    query: tuple[Parameter, ...] = ()
    fields: tuple[Field, ...] = ()
    replies: tuple[Reply, ...]
    errors: tuple[type[TaskHubError], ...] = ()


READ = Access("tasks.read")
CREATE = Access("tasks.write", frozenset({"Task.Creator"}))
CANCEL = Access("tasks.write", operating.OPERATORS)
OPERATE = Access(roles=operating.OPERATORS)

NEEDS_TOKEN = (BadHeader, Unauthorized, Forbidden)
WRITES = (Busy, StoreFull)
ONE_ETAG = {"ETag": "changes with every change of the task"}

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/tasks",
        name="createTask",
        text="Store a new task. The answer comes when it is on disk; no crash takes it away.",
        handler=creating.create,
        access=CREATE,
        body=NewTask,
        fields=(
            Field(
                creating.IDEMPOTENCY_KEY,
                "The same key and body within 24 hours give the same answer and no second task.",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            Field(
                "Prefer", "`wait=N`: answer when the task has ended, or after N seconds.", "wait=5"
            ),
        ),
        replies=(
            Reply(
                201,
                "The task is on disk.",
                TaskItem,
                headers={
                    "Location": "where the task is",
                    "Idempotency-Replayed": "`true`: the kept answer of an earlier request",
                },
            ),
        ),
        errors=(
            Malformed,
            *NEEDS_TOKEN,
            TooSlow,
            TooLarge,
            WrongMedia,
            Invalid,
            KeyReused,
            *WRITES,
        ),
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
        errors=(BadQuery, *NEEDS_TOKEN, Busy),
    ),
    Route(
        method="GET",
        path="/tasks/{id}",
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
        errors=(BadQuery, *NEEDS_TOKEN, NotFound, Busy),
    ),
    Route(
        method="POST",
        path="/tasks/{id}/cancel",
        name="cancelTask",
        text="Cancel a task: its creator may, and operators.",
        handler=operating.cancel,
        access=CANCEL,
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
        replies=(Reply(200, "It waits again.", TaskItem),),
        errors=(*NEEDS_TOKEN, NotFound, Conflict, *WRITES),
    ),
    Route(
        method="GET",
        path="/actors",
        name="listActors",
        text="The actors of the whole tree: state, uptime, restarts, mailboxes.",
        handler=operating.actors,
        access=OPERATE,
        replies=(Reply(200, "The actors.", ActorList),),
        errors=(*NEEDS_TOKEN, Busy),
    ),
    Route(
        method="GET",
        path="/health",
        name="health",
        text="Alive. Touches nothing else.",
        handler=watching.health,
        replies=(Reply(200, "Alive.", str, "text/plain; charset=utf-8"),),
    ),
    Route(
        method="GET",
        path="/ready",
        name="ready",
        text="Whether work can be taken in, part by part.",
        handler=watching.ready,
        replies=(
            Reply(
                200,
                "Yes; `degraded` when a part is away that we can do without.",
                watching.Readiness,
            ),
            Reply(503, "No: a part has failed.", watching.Readiness),
        ),
    ),
    Route(
        method="GET",
        path="/metrics",
        name="metrics",
        text="Metrics of the whole tree for Prometheus; for allowed networks.",
        handler=watching.metrics,
        replies=(Reply(200, "The metrics.", str, CLASSIC),),
        errors=(Forbidden,),
    ),
)
