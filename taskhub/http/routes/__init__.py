"""The one table of routes: who may, what goes in and out; everything else is made from it."""

from __future__ import annotations

from taskhub.http.route import Message, Route
from taskhub.http.routes import bulk, events, tasks, watching
from taskhub.model import Event

ROUTES: tuple[Route, ...] = (*tasks.ROUTES, *bulk.ROUTES, *events.ROUTES, *watching.ROUTES)

MESSAGES: tuple[Message, ...] = (
    Message(
        name="taskEvent",
        text=(
            "Something happened to a task. The event server's channel (`taskhub:events`) carries "
            "one such object for each event. It is a hint and may be lost: the truth is what "
            "`GET /tasks/{id}` says."
        ),
        body=Event,
    ),
)
"""What we tell others by ourselves."""
