"""One client's connection: deadlines for heads and readers, and answers to what is no request."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from taskhub.errors import Busy, TaskHubError
from taskhub.http.access_log import logged
from taskhub.http.answers import Answer, Source, Wire, bare_bytes
from taskhub.http.problems import BadMessage, LongHeader, TooSlow, crash, problem
from taskhub.http.request_ids import RequestIds
from taskhub.obs.telemetry import Emit, ListenerDropped, RequestCrashed, RequestServed

QUIET = (OSError, HttpProcessingError, web.RequestPayloadError)
"""What a client that breaks off causes: no news."""
HEAD_MOST = 65_536
"""Bytes of one head; its lines and their number have limits of their own (8,190 and 128)."""
READS_AT_LEAST = 65_536
"""Bytes that a client must take in each `stall_timeout`, else it holds our memory for nothing."""


class Unrouted(NamedTuple):
    """What there is to tell of a request without a route."""

    address: str
    method: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Door:
    """What the connections of one listening socket share; times in seconds."""

    emit: Emit
    ids: RequestIds
    header_timeout: float
    stall_timeout: float
    connections_limit: int
    has_access_log: Callable[[], bool]
    is_secure: bool = False
    """Whether it is reached over TLS."""
    is_draining: bool = False
    open: set[Connection] = field(default_factory=set)
    emptied: asyncio.Event = field(default_factory=asyncio.Event)

    def served(self, answer: Answer, request_id: str, told: Unrouted) -> None:
        """Tell of an answer that no route has given."""
        served = RequestServed(
            method=told.method,
            route="",
            status=answer.status,
            seconds=told.seconds,
            request_id=request_id,
        )
        if self.has_access_log():
            served = logged(served, len(answer.body), told.address)
        self.emit(served)

    def cut_slow(self) -> None:
        """Cut off who does not read a stream: at the end nobody waits for that."""
        for connection in tuple(self.open):
            connection.cut_if_slow()

    def cut_rest(self) -> None:
        """Cut off whoever is left: nobody would answer them, or hear that they have gone."""
        for connection in tuple(self.open):
            connection.cut()

    def sweep(self, now: float) -> None:
        """Cut off who does not read what was asked for."""
        for connection in tuple(self.open):
            connection.judge(now)


class Connection(web.RequestHandler):
    """aiohttp's connection, with what it lacks."""

    __slots__ = (
        "_body",
        "_door",
        "_head",
        "_is_half_closed",
        "_is_in_body",
        "_late",
        "_marked_at",
        "_source",
        "_unread",
        "_way_out",
    )

    def __init__(self, manager: web.Server, door: Door, **options: Any) -> None:
        super().__init__(manager, auto_decompress=False, **options)
        self._door = door
        self._late: asyncio.TimerHandle | None = None
        self._body: StreamReader = EMPTY_PAYLOAD  # that of the last request that has begun
        self._is_in_body = False
        self._head, self._is_half_closed = 0, False
        self._unread, self._marked_at = 0, 0.0
        self._way_out: asyncio.Transport | None = None  # also while it closes
        self._source: Source | None = None

    @property
    def is_secure(self) -> bool:
        """Whether the client came over TLS."""
        return self._door.is_secure

    @property
    def is_draining(self) -> bool:
        """Whether this answer should say that the connection ends."""
        return self._door.is_draining or (self._is_half_closed and not self._messages)

    @property
    def has_hung_up(self) -> bool:
        """Whether the client has gone, or has ended its side: one that was killed looks like that.

        What must not be lost is not sent to it.
        """
        return self.transport is None or self.transport.is_closing() or self._is_half_closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in, or send it away when there are too many."""
        super().connection_made(transport)
        self._way_out = self.transport
        self._door.open.add(self)
        if len(self._door.open) > self._door.connections_limit:
            self._dismiss(Busy())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the client."""
        super().connection_lost(exc)
        self._on_time()
        if self._source is not None:
            self._source.stop()
        self._door.open.discard(self)
        if not self._door.open:
            self._door.emptied.set()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; the first bytes of a head start its deadline, its end stops it."""
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._on_time()
            self._head, self._body = 0, self._messages[-1][1]
            self._is_in_body = not self._body.is_eof()
        elif data:
            self._part_received(len(data))

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks: stay open?
        """Answer what was asked before the client ended its side, then hang up as well."""
        if self._is_idle() or self._way_out is None or self.is_secure:
            return False
        self._is_half_closed = True
        if self._source is not None:  # of an endless answer that is the only sign of its going
            self._source.stop()
        if not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("the body ends too early"))
        return True

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - theirs
        """Go on after a pause; without one there is nothing to parse (7 us for each body saved)."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def judge(self, now: float) -> None:
        """Abort when the client takes less than `READS_AT_LEAST` in a `stall_timeout`."""
        out = self._way_out
        unread = out.get_write_buffer_size() if out is not None else 0
        if not unread or not self._unread or unread <= self._unread - READS_AT_LEAST:
            self._unread, self._marked_at = unread, now
        elif out is not None and now - self._marked_at > self._door.stall_timeout:
            if self._source is not None:
                self._door.emit(ListenerDropped())
            out.abort()

    @contextmanager
    def pouring(self, source: Source, buffer: int) -> Iterator[None]:
        """While a source pours into it: its client's going ends the source, little waits for it."""
        self._source = source
        if self.transport is None:
            source.stop()
        else:
            self.transport.set_write_buffer_limits(high=buffer)
        try:
            yield
        finally:
            self._source = None
            if self.transport is not None:
                self.transport.set_write_buffer_limits()

    async def taken(self) -> None:
        """Wait until the client has read most of what was sent, and bear in mind that it does."""
        await self._drain_helper()
        self._unread = 0

    def cut_if_slow(self) -> None:
        """Abort when a source waits for a client that does not read."""
        if self._source is not None and self.writing_paused:
            self.cut()

    def cut(self) -> None:
        """Abort: what was not sent is lost."""
        if self._way_out is not None:
            self._way_out.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request, or what a bug has left unanswered; echoes nothing."""
        request_id = self._door.ids()
        if not isinstance(exc, HttpProcessingError):
            self._crashed(request.method, request_id, exc)
            return Wire(crash(request_id), request_id)
        error: TaskHubError = LongHeader() if isinstance(exc, LineTooLong) else BadMessage()
        return Wire(self._told(problem(error, request_id), request_id), request_id)

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Clients come and go: nothing to tell."""

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A bug of the connection itself; a client that hung up is none."""
        error = kw.get("exc_info")
        if isinstance(error, Exception) and not isinstance(error, QUIET):
            self._crashed("", self._door.ids(), error)

    def _part_received(self, size: int) -> None:
        """A head has begun, or goes on; or a body does, which is read with limits of its own."""
        if self._is_idle():
            if self._late is None:
                seconds = self._door.header_timeout
                self._late = self._loop.call_later(seconds, self._too_late)
                # The silent close of an idle connection comes after the deadline that says why.
                self._next_keepalive_close_time = self._loop.time() + 2 * seconds
        elif self._is_in_body:
            self._is_in_body = not self._body.is_eof()
            return
        self._head += size
        if self._head > HEAD_MOST:
            self._dismiss(LongHeader())

    def _is_idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if self._is_idle():
            self._dismiss(TooSlow())

    def _dismiss(self, error: TaskHubError) -> None:
        """Say why, and hang up."""
        request_id = self._door.ids()
        answer = self._told(problem(error, request_id), request_id)
        if self.transport is not None:
            self.transport.write(bare_bytes(answer, request_id, self))
        self.force_close()

    def _told(self, answer: Answer, request_id: str) -> Answer:
        peer = self.peername
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._door.served(answer, request_id, Unrouted(address))
        return answer

    def _crashed(self, method: str, request_id: str, error: BaseException | None) -> None:
        trace = "".join(traceback.format_exception(error)) if error else ""
        self._door.emit(RequestCrashed(method=method, route="", request_id=request_id, trace=trace))
