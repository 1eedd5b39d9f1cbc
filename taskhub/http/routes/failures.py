"""The routes of what has failed."""

from __future__ import annotations

from taskhub.errors import NotFound
from taskhub.http import failing
from taskhub.http.route import NEEDS_TOKEN, READ, READS, Reply, Route

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/tasks/failures",
        name="listFailures",
        text=(
            "Failed tasks in groups of those that are alike: one type, one exception, one place. "
            "The search `fingerprint:...` finds the tasks of a group."
        ),
        handler=failing.groups,
        access=READ,
        query=failing.FAILURES,
        replies=(Reply(200, "The page.", failing.FailureList),),
        errors=(*NEEDS_TOKEN, *READS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/attempts",
        name="taskAttempts",
        text="The attempts of a task with their errors, also of those before an operator's retry.",
        handler=failing.attempts,
        access=READ,
        replies=(Reply(200, "The attempts, oldest first.", failing.AttemptList),),
        errors=(*NEEDS_TOKEN, NotFound, *READS),
    ),
)
