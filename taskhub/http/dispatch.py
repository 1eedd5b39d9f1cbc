"""From a request to its endpoint: exact paths at once, everything else through aiohttp's router."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import cast

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion10, HttpVersion11

from taskhub.config.sections import CorsSection
from taskhub.errors import TaskHubError
from taskhub.http import cors
from taskhub.http.answers import SERVER, Answer, Headers, Wire, fixed_fields, response
from taskhub.http.clients import client_of
from taskhub.http.connection import Connection, Door, Unrouted
from taskhub.http.context import ApiContext
from taskhub.http.endpoint import Endpoint
from taskhub.http.flow import Flow
from taskhub.http.problems import BadMessage, problem, status_problem
from taskhub.http.route import Route

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that telemetry names; a client may send any word."""

ID = web.RequestKey("request_id", str)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dispatch:
    """Every request of one door passes here."""

    def __init__(
        self, routes: Sequence[Route], context: ApiContext, door: Door, pages: CorsSection
    ) -> None:
        self._context, self._door, self._pages = context, door, pages
        self._is_for_pages = bool(pages.origins)
        self._endpoints = {(route.method, route.path): Endpoint(route, context) for route in routes}
        self._exact = {key: end for key, end in self._endpoints.items() if "{" not in key[1]}
        self._router: Handler | None = None

    def application(self) -> web.Application:
        """All routes in an application of aiohttp: it matches paths, knows 404, 405 and CORS."""
        app = web.Application()
        for (method, _), endpoint in self._endpoints.items():
            handler = self._adapted(endpoint)
            for each in (method, hdrs.METH_HEAD) if method == hdrs.METH_GET else (method,):
                app.router.add_route(each, endpoint.pattern, handler, expect_handler=_expect)
        if self._is_for_pages:
            cors.allow(app, self._pages)
            app.on_response_prepare.append(_complete)
        return app

    def attach(self, manager: web.Server) -> None:
        """Stand before the application in its server."""
        self._router = manager.request_handler
        manager.request_handler = self  # type: ignore[assignment]  # and so do we

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """The answer to any request."""
        request_id = self._door.ids.of(request)
        endpoint = self._exact.get((request.method, request.raw_path))
        if request.version != HttpVersion11 and _is_faulty(request):
            return self._refused(request, request_id, BadMessage())
        if endpoint is None or (self._is_for_pages and hdrs.ORIGIN in request.headers):
            return await self._routed(request, request_id)
        answer = await endpoint(request, request_id)
        if answer.source is not None:
            return Flow(answer, answer.source, request_id, varies=self._is_for_pages)
        return Wire(answer, request_id, varies=self._is_for_pages)

    def _adapted(self, endpoint: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            request_id = request[ID]
            return self._dressed(request, await endpoint(request, request_id), request_id)

        return handle

    async def _routed(self, request: web.Request, request_id: str) -> web.StreamResponse:
        request[ID] = request_id
        if self._router is None:
            raise RuntimeError("not attached to a server")
        start = perf_counter()
        try:
            answered = await self._router(request)
        except web.HTTPException as error:
            answer = self._unrouted(request, error, request_id)
            self._tell(request, answer, request_id, perf_counter() - start)
            return self._dressed(request, answer, request_id)
        if request.method == hdrs.METH_OPTIONS:  # aiohttp-cors tells nobody
            self._tell(request, Answer(answered.status), request_id, perf_counter() - start)
        return answered

    def _unrouted(self, request: web.Request, error: web.HTTPException, request_id: str) -> Answer:
        if self._is_for_pages and (leave := cors.leave(request, self._pages)) is not None:
            return Answer(204, headers=leave)
        if request.method == hdrs.METH_OPTIONS and request.raw_path == "*":  # RFC 9110, 9.3.7
            methods = sorted({method for method, _ in self._endpoints} | {hdrs.METH_HEAD})
            return Answer(204, headers=((hdrs.ALLOW, ",".join(methods)),))
        return status_problem(error.status, request_id, _allowed(error))

    def _refused(
        self, request: web.Request, request_id: str, error: TaskHubError
    ) -> web.StreamResponse:
        answer = problem(error, request_id)
        self._tell(request, answer, request_id, 0.0)
        return self._dressed(request, answer, request_id)

    def _dressed(self, request: web.Request, answer: Answer, request_id: str) -> web.StreamResponse:
        if answer.source is not None:
            return Flow(answer, answer.source, request_id)
        if not self._is_for_pages:
            return Wire(answer, request_id)
        return response(answer, request_id, cast("Connection", request.protocol))

    def _tell(self, request: web.Request, answer: Answer, request_id: str, seconds: float) -> None:
        method = request.method if request.method in METHODS else ""
        proxies = self._context.settings().http.trusted_proxies
        address = client_of(request.remote, request.headers, proxies).address
        self._door.served(answer, request_id, Unrouted(address, method, seconds))


def _is_faulty(request: web.Request) -> bool:
    """What older versions cannot say: no version at all, and chunks (RFC 9112, 6.1)."""
    return request.version < HttpVersion10 or hdrs.TRANSFER_ENCODING in request.headers


def _allowed(error: web.HTTPException) -> Headers:
    allow = error.headers.get(hdrs.ALLOW)
    return ((hdrs.ALLOW, allow),) if allow is not None else ()


async def _expect(request: web.Request) -> None:
    """Say nothing yet: who reads the body says `100 Continue`, who refuses it does not."""


async def _complete(request: web.Request, answer: web.StreamResponse) -> None:
    """Answers that aiohttp-cors makes itself have an id and the usual fields too."""
    connection = cast("Connection", request.protocol)
    answer.headers.setdefault("X-Request-Id", request[ID])
    if answer.headers.get(hdrs.SERVER) != SERVER:  # aiohttp has put its own version there
        answer.headers.update(fixed_fields("", "no-store", connection.is_secure))
