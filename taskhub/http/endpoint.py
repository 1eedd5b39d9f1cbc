"""What happens around every handler: who asks, may they, what went wrong, how long it took."""

from __future__ import annotations

import traceback
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from taskhub.errors import Busy, TaskHubError, Unauthorized
from taskhub.http.access import Access
from taskhub.http.access_log import logged
from taskhub.http.answers import Answer
from taskhub.http.auth import Principal
from taskhub.http.call import Call
from taskhub.http.clients import neighbourhood
from taskhub.http.context import ApiContext
from taskhub.http.limits import BAD_TOKENS
from taskhub.http.problems import (
    BadMessage,
    BadToken,
    OutOfScope,
    Stopping,
    Unknown,
    crash,
    problem,
)
from taskhub.http.queries import only_one
from taskhub.http.route import Route
from taskhub.kernel.mailbox import ActorFailed, MailboxClosed, MailboxFull
from taskhub.obs.telemetry import RequestCrashed, RequestServed

if TYPE_CHECKING:
    from taskhub.obs.tracing import Asked

BROKEN = (ConnectionError, web.RequestPayloadError, HttpProcessingError)
"""What reading a body raises when its framing is broken, or its client has gone."""


class Endpoint:
    """One route at work."""

    __slots__ = ("_access", "_context", "_limit", "_method", "_path", "_policies", "_route")

    def __init__(self, route: Route, context: ApiContext) -> None:
        self._route, self._context = route, context
        self._method, self._path, self._limit = route.method, route.path, route.limit
        self._policies = context.settings().policies
        self._access = route.access_under(self._policies)

    @property
    def pattern(self) -> str:
        """What the router matches."""
        return self._route.pattern or self._path

    async def __call__(self, request: web.Request, request_id: str) -> Answer:
        """The answer, whatever happens; only a cancellation passes."""
        start = perf_counter()
        call = Call(self._context, request, request_id)
        asked = self._traced(call)
        try:
            if (access := self._who_may()) is not None:
                call.access = access
                call.principal = await self._admit(call, access)
            if self._limit in self._context.limits.rates:
                await call.count(self._limit)
            answer = await self._route.handler(call)
        except TaskHubError as error:
            answer = problem(error, request_id)
        except Exception as error:  # noqa: BLE001 - the API's one place where bugs end
            answer = self._failed(error, call)
        if call.fields:
            answer = msgspec.structs.replace(answer, headers=(*answer.headers, *call.fields))
        if asked is not None:
            asked.end(answer.status, request_id)
        served = RequestServed(
            method=self._method,
            route=self._path,
            status=answer.status,
            seconds=perf_counter() - start,
            request_id=request_id,
            trace_id=call.trace_id,
        )
        if self._context.settings().http.access_log:
            served = logged(served, len(answer.body), call.address, call.principal.subject)
        self._context.emit(served)
        return answer

    def _traced(self, call: Call) -> Asked | None:
        """The span of this request, which goes on in all that it makes; None: tracing is off."""
        if self._context.tracing is None:
            return None
        asked = self._context.tracing.request(self._method, self._path, call.trace_parent)
        call.trace_parent = asked.trace_parent
        return asked

    def _who_may(self) -> Access | None:
        """As the configuration of this moment has it: a reload counts for the next request."""
        policies = self._context.settings().policies
        if policies is not self._policies:
            self._policies, self._access = policies, self._route.access_under(policies)
        return self._access

    async def _admit(self, call: Call, access: Access) -> Principal:
        """Who asks; raises Unauthorized or KeysAway, or OutOfScope when they may not."""
        header = only_one(call.request.headers.getall(hdrs.AUTHORIZATION, []), hdrs.AUTHORIZATION)
        if header is None:
            raise Unauthorized
        verifier = self._context.verifier
        principal = verifier.known(header) or await self._verified(call, header)
        if not access.admits(principal):
            raise OutOfScope(access.scopes, access.roles)
        return principal

    async def _verified(self, call: Call, header: str) -> Principal:
        """Whose token it is; raises as `find`, and RateLimited after too many bad ones."""
        verifier, limits = self._context.verifier, self._context.limits
        if BAD_TOKENS not in limits.rates or verifier.remembers(header):
            return await verifier.find(header)
        who = neighbourhood(call.address)
        limits.check(BAD_TOKENS, who, call.request_id)
        try:
            return await verifier.find(header)
        except BadToken:
            limits.count(BAD_TOKENS, who)
            raise

    def _failed(self, error: Exception, call: Call) -> Answer:
        match error:
            case MailboxFull():
                return problem(Busy(), call.request_id)
            case MailboxClosed():
                return problem(Stopping(), call.request_id)
            case ActorFailed():
                return problem(Unknown(), call.request_id)
            case _ if isinstance(error, BROKEN):
                return problem(BadMessage(), call.request_id)
            case _:
                return self._crashed(error, call)

    def _crashed(self, error: Exception, call: Call) -> Answer:
        self._context.emit(
            RequestCrashed(
                method=self._method,
                route=self._path,
                request_id=call.request_id,
                trace="".join(traceback.format_exception(error)),
                trace_id=call.trace_id,
            )
        )
        return crash(call.request_id)
