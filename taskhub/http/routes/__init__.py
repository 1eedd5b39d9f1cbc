"""The one table of routes: who may, what goes in and out; everything else is made from it."""

from __future__ import annotations

from taskhub.http.route import Route
from taskhub.http.routes import (
    bulk,
    events,
    failures,
    queues,
    schedules,
    tasks,
    types,
    watching,
    work,
)
from taskhub.http.routes.messages import MESSAGES

__all__ = ["MESSAGES", "ROUTES"]

ROUTES: tuple[Route, ...] = (
    *tasks.ROUTES,
    *bulk.ROUTES,
    *failures.ROUTES,
    *queues.ROUTES,
    *events.ROUTES,
    *types.ROUTES,
    *work.ROUTES,
    *schedules.ROUTES,
    *watching.ROUTES,
)
