"""What one route is: who may, what goes in and out; it knows no route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from taskhub.config.policies import Policies
from taskhub.errors import (
    Busy,
    Forbidden,
    Invalid,
    KeysAway,
    Malformed,
    StoreDown,
    StoreFull,
    StoreLocked,
    TaskHubError,
    Unauthorized,
)
from taskhub.http.access import Access, access, access_under
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.problems import (
    BadHeader,
    BadMessage,
    BadQuery,
    RateLimited,
    Stopping,
    TooLarge,
    TooSlow,
    Unknown,
    WrongMedia,
)
from taskhub.http.queries import Parameter

Handler = Callable[[Call], Awaitable[Answer]]


class Reply(msgspec.Struct, frozen=True):
    """A good answer: what it means, the shape of its body, header fields beside it."""

    status: int
    text: str
    body: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    example: Any = None
    """Of the body; where there is none, the table of examples is asked."""


class Field(msgspec.Struct, frozen=True):
    """A header field that a client may send, or that we send to others."""

    name: str
    text: str
    example: str
    schema: Mapping[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What we tell others by ourselves: nobody asks for it, so it has no route."""

    name: str
    text: str
    body: Any
    fields: tuple[Field, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `access` None: nobody needs to say who they are.

    `limit` names the limit of `[limits]` that its requests count against; empty: none. `policy` is
    its name in `[policies]`, where that is the name of another route.
    """

    method: str
    path: str
    name: str
    text: str
    handler: Handler
    access: Access | None = None
    pattern: str = ""
    """How the router sees the path, where `{name}` may hold slashes."""
    limit: str = ""
    policy: str = ""
    body: Any = None
    query: tuple[Parameter, ...] = ()
    fields: tuple[Field, ...] = ()
    replies: tuple[Reply, ...]
    errors: tuple[type[TaskHubError], ...] = ()

    def access_under(self, policies: Policies) -> Access | None:
        """Who may, where the configuration may have said otherwise."""
        if self.access is None:
            return None
        return access_under(policies, self.policy or self.name, self.access)


READ = access("scope:tasks.read")
CREATE = access("scope:tasks.write", "role:Task.Creator")
CANCEL = access("own scope:tasks.write", "role:Admin", "role:Operator")
WORK = access("scope:tasks.work")
OPERATE = access("role:Admin", "role:Operator")
ADMINISTER = access("role:Admin")

NEEDS_TOKEN = (
    *(BadMessage, BadHeader, BadQuery, Unauthorized, Forbidden),
    *(RateLimited, KeysAway),
)
TAKES_BODY = (Malformed, *NEEDS_TOKEN, TooSlow, TooLarge, WrongMedia, Invalid)
READS = (Busy, StoreDown)
WRITES = (Busy, StoreLocked, StoreDown, StoreFull, Stopping, Unknown)
