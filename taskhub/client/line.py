"""Speaks HTTP with one TaskHub: a session, a token, and another attempt where that is safe."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from taskhub.client.address import Token, address_of, checked, origin_of, proxy_for, shown, target
from taskhub.client.errors import (
    ProblemBody,
    TaskHubError,
    Unauthorized,
    Unexpected,
    Unreachable,
    problem,
)
from taskhub.client.retries import Retries, may_pass, patient, retry_after

T = TypeVar("T")

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of one answer; a page of tasks is far smaller."""
AT_ONCE = 100
"""Requests on their way at the same time; those that the server may hold back do not count."""
CONNECT = 10.0
"""Seconds in which a connection must stand."""
SILENCE = 60.0
"""Seconds without a byte after which a stream counts as cut; a TaskHub sends its heartbeats."""
GOOD = range(200, 300)
NO_CONTENT = 204
FORBIDDEN = 403
AGENT = "taskhub-client"

_JSON = {"Accept": "application/json", "User-Agent": AGENT}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `hold`: seconds that the server may keep the answer back.

    `is_repeatable`: sending it twice does no more than sending it once. `is_patient`: it is sent
    as often as there is time for.
    """

    method: str = "GET"
    path: str
    query: dict[str, str] = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    hold: float = 0.0
    is_repeatable: bool = True
    is_patient: bool = False


class Reply(msgspec.Struct, frozen=True):
    """A good answer."""

    status: int
    body: bytes


class Line:
    """The way to one TaskHub. It belongs to the loop that first uses it."""

    def __init__(self, url: str, token: Token, timeout: float, retries: Retries) -> None:
        self.address, self.retries = address_of(url), retries
        self._proxy = proxy_for(self.address)
        self._token = checked(token) if isinstance(token, str) else token
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._is_closed = False

    async def close(self) -> None:
        """Give connections back; may be called twice."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(self, ask: Ask, shape: type[T]) -> T:
        """The body of a good answer as a value."""
        return self.read(await self.send(ask), shape)

    def read(self, reply: Reply, shape: type[T]) -> T:
        """The body as a value; raises Unexpected."""
        try:
            return msgspec.json.decode(reply.body, type=shape)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self.strange(reply.status) from error

    async def fetch_any(self, ask: Ask) -> Any:
        """The body of a good answer as plain JSON; None where there is none."""
        reply = await self.send(ask)
        try:
            return msgspec.json.decode(reply.body) if reply.body else None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self.strange(reply.status) from error

    async def send(self, ask: Ask) -> Reply:
        """The answer, after as many attempts as are worth it; raises TaskHubError."""
        clock = asyncio.get_running_loop().time
        retries = patient(self.retries) if ask.is_patient else self.retries
        began, attempt = clock(), 1
        while True:
            try:
                return await self.once(ask)
            except TaskHubError as error:
                error.attempts = attempt
                pause = retries.pause(attempt, error.retry_after, clock() - began)
                if self.has_newer_token(error, attempt):
                    pause = 0.0
                elif pause is None or not may_pass(error, is_repeatable=ask.is_repeatable):
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    def has_newer_token(self, error: TaskHubError, attempt: int) -> bool:
        """Whether it is worth asking once more for the token that was refused."""
        return isinstance(error, Unauthorized) and callable(self._token) and attempt == 1

    @asynccontextmanager
    async def opened(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """A stream of events; silence ends it, nothing else does. Raises TaskHubError."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        async with self._asked(ask, limits) as response:
            if response.status not in GOOD:
                raise self._judged(response, await _whole(response))
            if response.status != NO_CONTENT and response.content_type != "text/event-stream":
                raise self.strange(response.status)
            yield response

    def strange(self, status: int) -> Unexpected:
        """What is said of an answer that a TaskHub would not give."""
        said = f"{self.address.netloc} does not answer like a TaskHub (status {status})"
        return Unexpected(said, status)

    async def once(self, ask: Ask) -> Reply:
        """The answer to one attempt; raises TaskHubError."""
        total = self._timeout + ask.hold
        limits = aiohttp.ClientTimeout(total=total, sock_connect=min(CONNECT, total))
        turn = nullcontext() if ask.hold else self._turn
        async with turn, self._asked(ask, limits) as response:
            body = await _whole(response)
        if response.status in GOOD and body is not None:
            return Reply(response.status, body)
        raise self._judged(response, body)

    @asynccontextmanager
    async def _asked(
        self, ask: Ask, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer's head; every way in which a line can fail becomes an Unreachable."""
        session = self._opened_session()
        url = URL(target(self.address, ask.path, ask.query), encoded=True)
        headers = await self._headers(ask)
        try:
            async with session.request(
                ask.method, url, data=ask.body, headers=headers,
                timeout=limits, allow_redirects=False,
            ) as response:  # fmt: skip
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure, reason = self._failure(error), getattr(error, "os_error", None)
        else:
            return
        # Out here, not from that error: its repr shows the fields we sent, and a proxy's password.
        raise failure from reason

    async def _headers(self, ask: Ask) -> dict[str, str]:
        headers = {**_JSON, **ask.headers}
        if token := await shown(self._token):
            headers["Authorization"] = f"Bearer {token}"
        if ask.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _opened_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise RuntimeError("this TaskHub is closed")
        if self._session is None:
            self._loop = loop
            # What is held back and streams take as many connections as the caller wants of them.
            connector = aiohttp.TCPConnector(limit=0)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=jar, proxy=self._proxy
            )
        if self._loop is not loop:
            raise RuntimeError(
                "a TaskHub belongs to the loop that first used it: make one for each"
            )
        return self._session

    def _failure(self, error: Exception) -> TaskHubError:
        where = origin_of(self.address)
        match error:
            case aiohttp.ClientHttpProxyError():
                said = f"{where}: the proxy on the way refuses (status {error.status})"
                return Unexpected(said, error.status)
            case aiohttp.ClientResponseError():
                return Unexpected(f"{where}: that is not HTTP")
            case aiohttp.ClientProxyConnectionError():
                return Unreachable(f"{where}: the proxy on the way cannot be reached")
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return Unreachable(f"{where}: no secure connection ({_tls(error)})", may_pass=False)
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                return Unreachable(f"{where}: {_reason(error)}")
            case _:
                return Unreachable(f"{where}: {_reason(error)}", was_sent=True)

    def _judged(self, response: aiohttp.ClientResponse, body: bytes | None) -> TaskHubError:
        """The error that an answer stands for."""
        try:
            told = msgspec.json.decode(body or b"", type=ProblemBody)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            error: TaskHubError = self.strange(response.status)
            error.retry_after = _after(response)
            return error
        told = msgspec.structs.replace(told, status=response.status)
        challenge = response.headers.get("WWW-Authenticate", "")
        wanted = _scope(challenge) if response.status == FORBIDDEN else ""
        return problem(told, _after(response), wanted)


async def _whole(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is longer than any of ours."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_LIMIT:
            return None
    return bytes(body)


def _after(response: aiohttp.ClientResponse) -> float | None:
    return retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))


def _scope(challenge: str) -> str:
    _, _, rest = challenge.partition('scope="')
    return rest.partition('"')[0]


def _reason(error: Exception) -> str:
    """Why there is no answer, in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "the connection was cut"
    if isinstance(error.os_error, ConnectionRefusedError):
        return "nobody listens there: is TaskHub running?"
    return str(error.os_error.strerror or "no connection").lower()


def _tls(error: Exception) -> str:
    """What is wrong with a certificate or a handshake."""
    cause: object = getattr(error, "certificate_error", getattr(error, "os_error", error))
    found = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return str(found or "TLS failed").lower()
