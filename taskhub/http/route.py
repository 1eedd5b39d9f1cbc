"""What one route is: who may, what goes in and out; it knows no route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from taskhub.errors import Busy, Forbidden, StoreFull, TaskHubError, Unauthorized
from taskhub.http import operating
from taskhub.http.answers import Answer
from taskhub.http.auth import Principal
from taskhub.http.call import Call
from taskhub.http.problems import BadHeader
from taskhub.http.queries import Parameter

Handler = Callable[[Call], Awaitable[Answer]]


class Access(msgspec.Struct, frozen=True):
    """Who may: holders of the scope, or of one of the roles."""

    scope: str = ""
    roles: frozenset[str] = frozenset()

    def admits(self, principal: Principal) -> bool:
        """Whether this principal may."""
        has_scope = bool(self.scope) and self.scope in principal.scopes
        return has_scope or not self.roles.isdisjoint(principal.roles)


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
