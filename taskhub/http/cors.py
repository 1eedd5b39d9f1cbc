"""Which browser applications may call: aiohttp-cors for the routes, a hook for what it misses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp_cors
from aiohttp import hdrs, web

MAX_AGE = 600
ASKED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Prefer",
    "X-Request-Id",
)
TOLD = (
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)


def allow(app: web.Application, origins: Sequence[str]) -> None:
    """Let pages of these origins call every route that is there now, and read its errors."""
    options: Any = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=False,
        expose_headers=TOLD,
        allow_headers=ASKED,
        max_age=MAX_AGE,
    )
    cors: Any = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for resource in list(app.router.resources()):
        cors.add(resource)
        for route in list(resource):
            if route.method in {hdrs.METH_GET, hdrs.METH_POST}:
                cors.add(route)
    app.on_response_prepare.append(_hook(frozenset(origins)))


def _hook(origins: frozenset[str]) -> Any:
    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        """Answers of no route (404, 405) carry the fields too: pages can read what went wrong."""
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in origins and hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in response.headers:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ",".join(TOLD)

    return complete
