"""One request as handlers see it: who asks, the body in time and in size, writes to the store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from math import inf

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from multidict import CIMultiDictProxy

from taskhub.http.access import Access
from taskhub.http.answers import Headers
from taskhub.http.auth import Principal
from taskhub.http.clients import Client, client_of, neighbourhood
from taskhub.http.context import ApiContext
from taskhub.http.problems import BadMessage, TooLarge, TooSlow, Unknown, WrongMedia
from taskhub.messages import Put
from taskhub.ports import Result, Write

TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
CHUNKED = "chunked"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

NOBODY = Principal(subject="", key="nobody", scopes=frozenset(), roles=frozenset(), until=inf)
"""Who asks where nobody needs to say."""
ANYBODY = Access()
"""What is asked of them there."""


class Call:
    """A request on its way through a handler; `fields` are what its answer says of limits."""

    __slots__ = (
        "access",
        "context",
        "fields",
        "principal",
        "request",
        "request_id",
        "trace_parent",
    )

    def __init__(self, context: ApiContext, request: web.Request, request_id: str) -> None:
        self.context, self.request, self.request_id = context, request, request_id
        self.principal, self.access = NOBODY, ANYBODY
        self.fields: Headers = ()
        self.trace_parent = _trace(request.headers.get("traceparent"))

    @property
    def trace_id(self) -> str:
        """The trace that the client has begun; empty without one."""
        return self.trace_parent[3:35] if self.trace_parent is not None else ""

    @property
    def address(self) -> str:
        """Where the request came from, seen through trusted proxies; empty on a unix socket."""
        return self.client.address

    @property
    def client(self) -> Client:
        """Its address, and whether that is sure."""
        proxies = self.context.settings().http.trusted_proxies
        return client_of(self.request.remote, self.request.headers, proxies)

    @property
    def who(self) -> str:
        """Whom it counts against: its principal, or its address when the token names nobody."""
        principal = self.principal
        return principal.key if principal.subject else f"address:{neighbourhood(self.address)}"

    async def count(self, limit: str, times: int = 1) -> None:
        """Count it against a limit, if that is on; raises RateLimited."""
        limits = self.context.limits
        if limit in limits.rates:
            self.fields = ()  # an error brings its own
            self.fields = await limits.take(limit, self.who, self.request_id, times)

    async def json_body(self, limit: int | None = None) -> bytes:
        """The bytes of a JSON body; raises WrongMedia, TooLarge or TooSlow."""
        headers = self.request.headers
        kind = headers.get(hdrs.CONTENT_TYPE)
        if kind != "application/json" and not _is_json(kind or ""):
            raise WrongMedia
        if hdrs.CONTENT_ENCODING in headers and not _is_plain(headers):
            raise WrongMedia
        if hdrs.TRANSFER_ENCODING in headers and headers[hdrs.TRANSFER_ENCODING].lower() != CHUNKED:
            raise BadMessage  # packed for the way: whoever unpacks it would see another body
        return await self._read(limit or self.context.settings().http.max_body)

    async def put(self, *writes: Write) -> Sequence[Result]:
        """Have the store commit these; raises what the store answers, or Unknown after a while."""
        reply = Put(*writes).sent_to(self.context.store_box)
        self.context.patience.watch(reply)
        try:
            return await reply
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            raise Unknown from None

    async def _read(self, limit: int) -> bytes:
        content = self.request.content
        if content.is_eof():  # as nearly always: it came together with the head
            body = content.read_nowait()
        else:
            body = await self._read_slowly(limit)
        if len(body) > limit:
            raise TooLarge
        return body

    async def _read_slowly(self, limit: int) -> bytes:
        if (self.request.content_length or 0) > limit:
            raise TooLarge
        self._say_continue()
        body = bytearray()
        try:
            async with asyncio.timeout(self.context.settings().http.body_timeout):
                while len(body) <= limit and (chunk := await self.request.content.readany()):
                    body += chunk
        except TimeoutError:
            raise TooSlow from None
        return bytes(body)

    def _say_continue(self) -> None:
        """Let a client go on that asked first (RFC 9110, 10.1.1)."""
        request = self.request
        expected = request.headers.get(hdrs.EXPECT, "").lower()
        if expected == "100-continue" and request.version == HttpVersion11 and request.transport:
            request.transport.write(CONTINUE)


def _is_plain(headers: CIMultiDictProxy[str]) -> bool:
    """Whether every Content-Encoding says that the body is as it is."""
    return all(name.lower() == "identity" for name in headers.getall(hdrs.CONTENT_ENCODING))


def _is_json(kind: str) -> bool:
    """Whether a Content-Type means JSON in UTF-8 (RFC 8259, 11 and 8.1)."""
    name, *parameters = kind.lower().split(";")
    good = {"", "charset=utf-8", 'charset="utf-8"'}
    return name.strip() == "application/json" and good.issuperset(p.strip() for p in parameters)


def _trace(header: str | None) -> str | None:
    """A W3C trace context, if it is one."""
    return header if header is not None and TRACE.fullmatch(header) else None
