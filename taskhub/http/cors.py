"""Which browser applications may call: aiohttp-cors for the routes, and what it misses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp_cors
from aiohttp import hdrs, web

from taskhub.config.sections import CorsSection
from taskhub.http.answers import Headers

MAX_AGE = 600
"""Seconds for which a browser remembers the answer to a preflight."""
ANY = "*"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
ASKED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "traceparent",
    "X-Request-Id",
)
TOLD = (
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Task-Existing",
    "WWW-Authenticate",
    "X-Request-Id",
)
BY_ADDRESS = frozenset({"/metrics"})
"""Paths that ask for an address and no token: a page has the address of whoever looks at it."""

_FIELDS = frozenset(name.lower() for name in ASKED)

Hook = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def allow(app: web.Application, section: CorsSection) -> None:
    """Let pages of these origins call every route that is there now, and read its errors."""
    options: Any = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=section.credentials,
        expose_headers=TOLD,
        allow_headers=ASKED,
        max_age=MAX_AGE,
    )
    cors: Any = aiohttp_cors.setup(app, defaults=dict.fromkeys(section.origins, options))
    for resource in list(app.router.resources()):
        if resource.canonical in BY_ADDRESS:
            continue
        cors.add(resource)
        for route in list(resource):
            if route.method in METHODS - {hdrs.METH_HEAD}:
                cors.add(route)
    app.on_response_prepare.append(_hook(section))


def leave(request: web.Request, section: CorsSection) -> Headers | None:
    """The answer to a preflight for what is not there (404, 405): that a page may ask and see.

    None: it is no preflight, or not of a page that may call.
    """
    method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
    asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "").lower()
    fields = {name.strip(" \t") for name in asked.split(",")} - {""}
    fits = request.method == hdrs.METH_OPTIONS and method in METHODS and fields <= _FIELDS
    if method is None or not fits or not _allowed(request, section):
        return None
    return (
        (hdrs.ACCESS_CONTROL_ALLOW_METHODS, method),
        (hdrs.ACCESS_CONTROL_ALLOW_HEADERS, ",".join(sorted(fields))),
        (hdrs.ACCESS_CONTROL_MAX_AGE, str(MAX_AGE)),
    )


def _allowed(request: web.Request, section: CorsSection) -> str:
    """What `Access-Control-Allow-Origin` says to this request; empty: nothing at all."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or request.path in BY_ADDRESS:
        return ""
    if ANY in section.origins:
        return ANY
    return origin if origin in section.origins else ""


def _hook(section: CorsSection) -> Hook:
    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        """Answers of no route (404, 405) carry the fields too: pages can read what went wrong."""
        headers = response.headers
        headers.add(hdrs.VARY, hdrs.ORIGIN)
        if not (origin := _allowed(request, section)):
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ",".join(TOLD)
        if section.credentials:
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"

    return complete
