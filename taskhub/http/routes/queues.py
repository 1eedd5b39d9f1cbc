"""The routes of queues and types, and the one that says why a task waits."""

from __future__ import annotations

from taskhub.errors import NotFound
from taskhub.http import limits, pausing
from taskhub.http.route import NEEDS_TOKEN, OPERATE, READ, READS, WRITES, Reply, Route
from taskhub.queues import Line, LineState
from taskhub.why import Why

ERRORS = (*NEEDS_TOKEN, NotFound, *WRITES)


def _routes(line: Line) -> tuple[Route, ...]:
    """Pause, resume and drain of a queue or a type."""
    things, kind = f"{line}s", line.capitalize()
    return (
        Route(
            method="POST",
            path=f"/{things}/{{name}}/pause",
            name=f"pause{kind}",
            text=f"Let no more task of the {line} begin, anywhere; what runs goes on.",
            handler=pausing.setting(line, paused=True),
            access=OPERATE,
            limit=limits.ACTS,
            replies=(Reply(200, "It is paused.", LineState),),
            errors=ERRORS,
        ),
        Route(
            method="POST",
            path=f"/{things}/{{name}}/resume",
            name=f"resume{kind}",
            text=f"Let tasks of the {line} begin again.",
            handler=pausing.setting(line, paused=False),
            access=OPERATE,
            limit=limits.ACTS,
            replies=(Reply(200, "It goes on.", LineState),),
            errors=ERRORS,
        ),
        Route(
            method="POST",
            path=f"/{things}/{{name}}/drain",
            name=f"drain{kind}",
            text=f"Pause the {line}, and wait until none of its tasks runs.",
            handler=pausing.draining(line),
            access=OPERATE,
            limit=limits.ACTS,
            query=pausing.DRAIN,
            replies=(
                Reply(200, "It is paused, and nothing of it runs.", LineState),
                Reply(202, "It is paused, and so many still run: ask again.", LineState),
            ),
            errors=ERRORS,
        ),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/tasks/{id}/why",
        name="explainTask",
        text="Why a task does or does not run, in words; what to mend first comes first.",
        handler=pausing.explain,
        access=READ,
        replies=(Reply(200, "The reasons.", Why),),
        errors=(*NEEDS_TOKEN, NotFound, *READS),
    ),
    Route(
        method="GET",
        path="/queues",
        name="listQueues",
        text="Every queue that is paused or has tasks that wait or run.",
        handler=pausing.queues,
        access=OPERATE,
        replies=(Reply(200, "The queues.", pausing.QueueList),),
        errors=(*NEEDS_TOKEN, *READS),
    ),
    *_routes(Line.QUEUE),
    *_routes(Line.TYPE),
)
