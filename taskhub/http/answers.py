"""What a handler answers, as plain data, and the two ways to put it on the wire."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.abc import AbstractStreamWriter

    from taskhub.http.connection import Connection

Headers = tuple[tuple[str, str], ...]

JSON = "application/json"
POLICY = "default-src 'none'; frame-ancestors 'none'"
"""Of answers that are no pages: whoever opens one in a browser, or in a frame, runs nothing."""
SERVER = "taskhub"
"""What we are; which version is nobody's business."""
HSTS = "max-age=31536000"
BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""What RFC 9110 calls these; Python does so from 3.13 on."""


class Source(Protocol):
    """What an answer without an end is made of."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the body, each when it is there; begins when the head has been sent."""

    def stop(self) -> None:
        """The client has gone: end soon."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A status, a body and what else the client must know; `close` ends the connection after it."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = ()
    cache: str = "no-store"
    close: bool = False
    source: Source | None = None
    """Gives the body in place of `body`, bit by bit."""


class Wire(web.StreamResponse):
    """An answer written as one piece of bytes.

    aiohttp's own `Response` builds, checks and serializes a map of header fields for each answer:
    a quarter of what a small request costs. It is used where hooks must see the map (CORS).
    """

    _is_secure = False

    def __init__(self, answer: Answer, request_id: str, *, varies: bool = False) -> None:
        # The parent's constructor makes maps that nobody reads here: it is not called.
        self._answer, self._id, self._varies = answer, request_id, varies
        self._status, self._reason = answer.status, ""
        self._request: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Decide whether the connection lives on; nothing is written yet."""
        door = cast("Connection", request.protocol)
        self._request = request
        self._is_secure = door.is_secure
        self._keep_alive = request.keep_alive and not (self._answer.close or door.is_draining)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write head and body at once; waits only for a client that does not read."""
        request, answer = self._request, self._answer
        if request is None:
            return
        self._request, self._eof_sent = None, True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        head = self._head(request.version == HttpVersion11)
        transport.write(head + answer.body if request.method != hdrs.METH_HEAD else head)
        await request.writer.drain()

    def _head(self, is_current: bool) -> bytes:  # noqa: FBT001 - HTTP/1.1 or older
        answer = self._answer
        lines = _first_lines(answer.status, answer.content_type, answer.cache, self._is_secure)
        lines += f"Date: {http_date(int(time.time()))}\r\nX-Request-Id: {self._id}\r\n"
        for name, value in answer.headers:
            lines += f"{name}: {value}\r\n"
        if answer.status not in BODILESS:
            lines += f"Content-Length: {len(answer.body)}\r\n"
        if self._varies:
            lines += "Vary: Origin\r\n"
        if not self._keep_alive:
            lines += "Connection: close\r\n"
        elif not is_current:
            lines += "Connection: keep-alive\r\n"
        return f"{lines}\r\n".encode("latin-1")


def response(answer: Answer, request_id: str, door: Connection) -> web.Response:
    """The same answer as aiohttp's own response, whose header fields hooks may change."""
    headers = {
        **dict(fixed_fields(answer.content_type, answer.cache, door.is_secure)),
        "X-Request-Id": request_id,
        **dict(answer.headers),
    }
    if answer.status not in BODILESS:
        headers["Content-Type"] = answer.content_type
    made = web.Response(status=answer.status, body=answer.body or None, headers=headers)
    if answer.close or door.is_draining:
        made.force_close()
    return made


def bare_bytes(answer: Answer, request_id: str, door: Connection) -> bytes:
    """The whole answer for a connection that never became a request; it must be closed after it."""
    wire = Wire(answer, request_id)
    wire._keep_alive, wire._is_secure = False, door.is_secure  # noqa: SLF001 - of this module's own class
    return wire._head(is_current=True) + answer.body  # noqa: SLF001


@lru_cache(maxsize=256)
def fixed_fields(content_type: str, cache: str, is_secure: bool) -> Headers:  # noqa: FBT001
    """What each answer of a kind says to browsers; pages bring a policy of their own."""
    fields = [
        ("Server", SERVER),
        ("Cache-Control", cache),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if not content_type.startswith("text/html"):
        fields += [("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")]
    if is_secure:
        fields.append(("Strict-Transport-Security", HSTS))
    return tuple(fields)


def phrase(status: int) -> str:
    """The words that stand for a status, the same on every Python."""
    return RENAMED.get(status) or HTTPStatus(status).phrase


@lru_cache(maxsize=256)
def _first_lines(status: int, content_type: str, cache: str, is_secure: bool) -> str:  # noqa: FBT001
    fields = list(fixed_fields(content_type, cache, is_secure))
    if status not in BODILESS:
        fields.append(("Content-Type", content_type))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} {phrase(status)}\r\n{lines}"


@lru_cache(maxsize=2)
def http_date(second: int) -> str:
    """The text of the `Date` field (RFC 9110, 5.6.7); made once a second."""
    return formatdate(second, usegmt=True)
