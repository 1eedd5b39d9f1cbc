"""The routes of events: what has happened, and what happens."""

from __future__ import annotations

from taskhub.errors import NotFound
from taskhub.http.live import handling
from taskhub.http.live.frames import EventList
from taskhub.http.live.wanted import FOLLOW, HISTORY
from taskhub.http.problems import NotAcceptable
from taskhub.http.route import NEEDS_TOKEN, READ, READS, Field, Reply, Route

RESUME = Field(
    handling.LAST_EVENT_ID,
    "The `id` of the last event that the client has: the stream goes on after it. Where that is "
    "not possible, an event `reset` comes first, whose data say how far the events reach now.",
    "4711",
)
FRAMES = """\
id: 4711
event: TaskDone
data: {"type":"TaskDone","id":"019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21","title":"Resize images",\
"at":"2026-11-24T22:17:17Z","seq":4711}

"""

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/events",
        name="followEvents",
        text=(
            "Everything that happens, as it happens. A stream of server-sent events: `event` is "
            "the type, `id` the number to resume from, `data` an EventItem. Told is only what fits "
            "all of the query's conditions."
        ),
        handler=handling.follow,
        access=READ,
        query=FOLLOW,
        fields=(RESUME,),
        replies=(
            Reply(200, "The stream. It ends with the token.", str, handling.STREAM, example=FRAMES),
        ),
        errors=(*NEEDS_TOKEN, NotAcceptable, *READS),
    ),
    Route(
        method="GET",
        path="/tasks/{id}/events",
        name="taskEvents",
        text=(
            "What has happened to a task, oldest first. Asked for `text/event-stream`, the history "
            "and then what happens, until an event `end` says that the task has ended."
        ),
        handler=handling.history,
        access=READ,
        query=HISTORY,
        fields=(RESUME,),
        replies=(
            Reply(200, "A page of its history.", EventList),
            Reply(200, "Or the stream.", str, handling.STREAM, example=FRAMES),
        ),
        errors=(*NEEDS_TOKEN, NotFound, *READS),
    ),
)
