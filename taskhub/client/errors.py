"""What can go wrong, as exceptions: one class for each problem type of the API, and two more."""

from __future__ import annotations

from typing import ClassVar

import msgspec

URN = "urn:taskhub:problem:"


class TaskHubError(Exception):
    """Whatever went wrong with a TaskHub. `attempts`: how often it was tried."""

    attempts: int = 1
    retry_after: float | None = None
    """Seconds after which the server says it is worth trying again."""


class Unreachable(TaskHubError):
    """No answer: nobody there, no way there, or the line was cut.

    `was_sent`: the request may have arrived. `may_pass`: trying again could help.
    """

    def __init__(self, reason: str, *, was_sent: bool = False, may_pass: bool = True) -> None:
        super().__init__(reason)
        self.was_sent, self.may_pass = was_sent, may_pass


class Unexpected(TaskHubError):
    """An answer, and not like one of a TaskHub: a proxy, or another program at that address."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class ErrorItem(msgspec.Struct, frozen=True):
    """One rule that is broken, and where: `pointer` is a JSON pointer into the request.

    `column`: where in a search the mistake is, from 1 on; 0 where it is none of a search.
    """

    pointer: str
    detail: str
    column: int = 0


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A problem document (RFC 9457) as the API sends it."""

    title: str
    type: str = "about:blank"
    status: int = 0
    detail: str = ""
    request_id: str = ""
    errors: tuple[ErrorItem, ...] = ()


class Problem(TaskHubError):
    """The API said no. Its subclasses tell which no it was; this one is for those yet unknown."""

    code: ClassVar[str] = ""

    def __init__(
        self, body: ProblemBody, retry_after: float | None = None, scope: str = ""
    ) -> None:
        super().__init__(body, retry_after, scope)
        self.type, self.status, self.title = body.type, body.status, body.title
        self.detail, self.errors = body.detail or body.title, body.errors
        self.request_id = body.request_id
        self.retry_after = retry_after
        self.scope = scope
        """What a token would need to have; only with Forbidden."""

    def __str__(self) -> str:
        told = [f"{item.pointer or '/'}: {item.detail}" for item in self.errors]
        return f"{self.detail} ({'; '.join(told)})" if told else self.detail


class BadRequest(Problem):
    """400: the request is wrong in itself."""

    code = "bad-request"


class BadQuery(BadRequest):
    """400: a parameter of the query is not understood."""

    code = "bad-query"


class BadHeader(BadRequest):
    """400: a header field breaks a rule, such as an Idempotency-Key of odd letters."""

    code = "bad-header"


class BadMessage(BadRequest):
    """400: this was no well-formed HTTP."""

    code = "bad-message"


class Malformed(BadRequest):
    """400: the body was not the JSON that was expected."""

    code = "malformed"


class Unauthorized(Problem):
    """401: a valid token is needed."""

    code = "unauthorized"


class Forbidden(Problem):
    """403: the token does not allow this."""

    code = "forbidden"


class NotFound(Problem):
    """404: there is no such task."""

    code = "not-found"


class NoType(NotFound):
    """404: no type of this name is registered."""

    code = "no-type"


class NoSchedule(NotFound):
    """404: there is no such schedule."""

    code = "no-schedule"


class NotAcceptable(Problem):
    """406: the answer has no form that was asked for."""

    code = "not-acceptable"


class TooSlow(Problem):
    """408: the request did not arrive in time."""

    code = "too-slow"


class Conflict(Problem):
    """409: the task is in a state that does not allow this."""

    code = "conflict"


class TypeInUse(Conflict):
    """409: a worker does this type, so it cannot be taken away."""

    code = "type-in-use"


class LeaseOver(Conflict):
    """409: the lease of an external worker is over; drop the work."""

    code = "lease-over"


class OwnType(Conflict):
    """409: a type of this name is done by TaskHub's own workers."""

    code = "own-type"


class NameTaken(Conflict):
    """409: there is a schedule of this name already."""

    code = "name-taken"


class Declared(Conflict):
    """409: the configuration or code declares this schedule; it is changed there."""

    code = "declared"


class TooManySchedules(Conflict):
    """409: there are as many schedules as there may be."""

    code = "too-many-schedules"


class Overlapping(Conflict):
    """409: the run before has not ended."""

    code = "overlapping"


class Changed(Problem):
    """412: it is not, or no longer, as If-Match or If-None-Match says."""

    code = "changed"


class TooLarge(Problem):
    """413: the body is larger than is taken there."""

    code = "too-large"


class WrongMedia(Problem):
    """415: the body was not plain JSON."""

    code = "wrong-media-type"


class Invalid(Problem):
    """422: some members break a rule; `errors` names each of them."""

    code = "invalid"


class Exists(Conflict):
    """409: another task holds the unique key, and the token does not allow to read it."""

    code = "exists"


class KeyReused(Problem):
    """422: this Idempotency-Key stands for another request."""

    code = "key-reused"


class RateLimited(Problem):
    """429: this was asked for too often."""

    code = "rate-limited"


class LongHeader(Problem):
    """431: the address or a header field is too long."""

    code = "header-too-long"


class Internal(Problem):
    """500: a bug of TaskHub; `request_id` finds it in the log."""

    code = "internal"


class StoreFull(Problem):
    """507: the disk of the database is full; nothing was stored."""

    code = "store-full"


class Unavailable(Problem):
    """503: not now."""

    code = "unavailable"


class Busy(Unavailable):
    """503: more work is waiting than can be taken in."""

    code = "busy"


class Backlogged(Unavailable):
    """503: more work waits than the workers keep up with."""

    code = "backlog"


class Stopping(Unavailable):
    """503: this server is being stopped."""

    code = "stopping"


class OutcomeUnknown(Unavailable):
    """503: it may or may not have been done."""

    code = "outcome-unknown"


class ProcessAway(Unavailable):
    """503: the process that was meant does not answer."""

    code = "process-away"


class StoreLocked(Unavailable):
    """503: another program holds the database."""

    code = "store-locked"


class StoreDown(Unavailable):
    """503: the database does not answer."""

    code = "store-down"


class KeysAway(Unavailable):
    """503: the keys of the token's issuer cannot be had, so nobody can say whether it is good."""

    code = "keys-away"


def problem(body: ProblemBody, retry_after: float | None = None, scope: str = "") -> Problem:
    """The exception for a problem document."""
    kind = BY_CODE.get(body.type.removeprefix(URN), Problem)
    return kind(body, retry_after, scope)


def _family(kind: type[Problem]) -> list[type[Problem]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _family(child))]


BY_CODE = {kind.code: kind for kind in _family(Problem) if kind.code}
