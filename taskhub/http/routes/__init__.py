"""The one table of routes: who may, what goes in and out; everything else is made from it."""

from __future__ import annotations

from taskhub.http.route import Route
from taskhub.http.routes import tasks, watching

ROUTES: tuple[Route, ...] = (*tasks.ROUTES, *watching.ROUTES)
