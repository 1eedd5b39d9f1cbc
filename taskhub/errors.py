"""Every error that is no bug: the class is the decision, its docstring the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class TaskHubError(Exception):
    """Something went wrong that TaskHub knows by name."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retry_after: float | None = None

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())

    @property
    def detail(self) -> str:
        """One sentence for the person who reads it: no input echoed, no path, no secret."""
        return str(self.args[0])

    @property
    def reason(self) -> str:
        """The same for the operator at the machine: with what the system said."""
        return f"{self.detail} ({self.__cause__})" if self.__cause__ else self.detail


class Trouble(TaskHubError):
    """Something around us is not well; it is retried, never a crash."""

    status = 503
    code = "unavailable"
    retry_after = 1.0


class Busy(Trouble):
    """More work is waiting than can be taken in. Try again shortly."""

    code = "busy"


class StoreLocked(Trouble):
    """Another program holds the database. Try again shortly."""

    code = "store-locked"


class StoreDown(Trouble):
    """The database does not answer. Try again shortly."""

    code = "store-down"
    retry_after = 2.0


class StoreFull(Trouble):
    """The disk of the database is full. Nothing was stored."""

    status = 507
    code = "store-full"
    retry_after = 10.0


class BackupFailed(TaskHubError):
    """No backup was made."""

    code = "backup-failed"


class CopyFailed(TaskHubError):
    """The database was not copied."""

    code = "copy-failed"


class KeysAway(Trouble):
    """The keys of the token's issuer cannot be had, so it cannot be checked. Try again shortly."""

    code = "keys-away"
    retry_after = 5.0

    def __init__(self, retry_after: float = 5.0) -> None:
        super().__init__()
        self.retry_after = retry_after


class SchemaNewer(TaskHubError):
    """The database was made by a newer TaskHub. Install that version, or restore a backup."""

    code = "schema-newer"


class SchemaOlder(TaskHubError):
    """The database has an older schema. Run `taskhub db migrate`."""

    code = "schema-older"


class HalfCopied(TaskHubError):
    """The database is half of a copy. Run the same `taskhub db copy` again, or empty it."""

    code = "half-copied"


class BusAway(Trouble):
    """The event server does not answer; tasks go on by polling."""

    code = "events-away"


class BusRefused(TaskHubError):
    """The event server refuses our name, password or rights: a mistake to mend in [redis]."""

    code = "events-refused"


class Problem(TaskHubError):
    """Base of the errors that one request causes."""

    status = 400
    code = "bad-request"


class FieldError(TaskHubError):
    """One wrong member: `pointer` is its JSON pointer, `detail` the rule it breaks."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


class SearchError(FieldError):
    """A search is not understood: from `column` (the first is 1) something else was expected."""

    status = 400
    code = "bad-search"

    def __init__(self, column: int, expected: str) -> None:
        super().__init__("/q", f"column {column}: expected {expected}")
        self.column = column


class Invalid(Problem):
    """The request is well formed, but some members break a rule."""

    status = 422
    code = "invalid"

    def __init__(self, errors: Sequence[FieldError], detail: str = "") -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class Malformed(Problem):
    """The body is not the JSON that was expected."""

    code = "malformed"


class NotFound(Problem):
    """There is no such task here."""

    status = 404
    code = "not-found"


class Conflict(Problem):
    """The task is in a state that does not allow this."""

    status = 409
    code = "conflict"


class Unauthorized(Problem):
    """A valid bearer token is needed."""

    status = 401
    code = "unauthorized"


class Forbidden(Problem):
    """The token does not allow this."""

    status = 403
    code = "forbidden"


class ConfigProblem(TaskHubError):
    """One mistake in the configuration: where it is, and what was expected."""

    code = "config"

    def __init__(self, place: str, expected: str) -> None:
        super().__init__(f"{place}: {expected}")
        self.place, self.expected = place, expected


class ConfigError(TaskHubError):
    """The configuration cannot be used; `problems` lists every mistake at once."""

    code = "config"

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = tuple(problems)
