"""The routes of acts on many tasks."""

from __future__ import annotations

from taskhub.http import bulk, limits
from taskhub.http.route import OPERATE, TAKES_BODY, WRITES, Handler, Reply, Route

ENDS = "`dryRun` counts them first. A request ends after a few seconds; `next` says how to go on."


def _route(name: str, verb: str, text: str, handler: Handler) -> Route:
    return Route(
        method="POST",
        path=f"/tasks/bulk/{verb}",
        name=name,
        text=f"{text} {ENDS}",
        handler=handler,
        access=OPERATE,
        limit=limits.ACTS,
        body=bulk.BulkWish,
        replies=(Reply(200, "What was found and done.", bulk.BulkReport),),
        errors=(*TAKES_BODY, *WRITES),
    )


ROUTES: tuple[Route, ...] = (
    _route(
        "cancelTasks",
        "cancel",
        "Cancel all tasks that match and have not ended; those that run are asked to stop.",
        bulk.cancel,
    ),
    _route(
        "retryTasks",
        "retry",
        "Let all tasks that match and have failed or were cancelled begin anew.",
        bulk.retry,
    ),
    _route(
        "deleteTasks",
        "delete",
        "Delete all tasks that match and have ended.",
        bulk.delete,
    ),
)
