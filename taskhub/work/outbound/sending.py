"""Sends one HTTP request for a task, within the guard, and reads what it needs of the answer."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from taskhub.policy import cleaned
from taskhub.work.outbound.guard import Guard, NotAllowed
from taskhub.work.threads import Threads

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

DIALLING = "taskhub.work.outbound.dialling"
EXCERPT = 4_096
"""Bytes of an answer's body that are read, at most."""
BODY_WITHIN = 5.0
"""Seconds that the body may take once the status is known: the status is what counts."""
RESOLVERS = 8
"""Threads that look names up."""
KEEP_METHOD = frozenset({307, 308})
REDIRECTS = KEEP_METHOD | {301, 302, 303}
WITHOUT_BODY = frozenset({"GET", "HEAD"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent. `own` are the headers that we add; `headers` are those of the task, of which
    another host than the first one sees the `Content-Type` alone.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    own: Mapping[str, str]
    body: bytes
    timeout: float
    redirects: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an answer; `body` is its beginning, `is_cut` says that there was more."""

    status: int
    body: str
    is_cut: bool = False
    retry_after: str = ""


class Unreachable(Exception):
    """There was no answer; the text says why, without an address."""


class Sender:
    """Owns the session and the threads that look names up; both come with the first request."""

    def __init__(self, allowed: Callable[[], Sequence[str]]) -> None:
        """`allowed` are the networks of `[outbound] allow` at this moment."""
        self._allowed = allowed
        self._open: tuple[ClientSession, Threads] | None = None
        self._opening = asyncio.Lock()

    def guard(self) -> Guard:
        """The rules of this moment."""
        return Guard(self._allowed())

    async def send(self, request: Request) -> Answer:
        """The answer, or the last one of a chain of redirects; raises NotAllowed | Unreachable."""
        url = self.guard().url(request.url)
        session = await self._opened()
        from aiohttp import ClientError

        try:
            async with asyncio.timeout(request.timeout):
                return await self._follow(session, request, url)
        except (ClientError, OSError) as error:
            if type(error) is TimeoutError:
                raise Unreachable(f"no answer within {request.timeout:.3g} s") from None
            raise _named(error) from error

    async def close(self) -> None:
        """Cut what is under way; may be called twice, and used again."""
        opened, self._open = self._open, None
        if opened is not None:
            session, threads = opened
            await session.close()
            threads.close()

    async def _opened(self) -> ClientSession:
        async with self._opening:
            if self._open is None:  # in a thread: the import takes a tenth of a second
                threads = Threads(RESOLVERS, "resolver")
                await threads.call(partial(_import, DIALLING))
                dialling = importlib.import_module(DIALLING)
                self._open = dialling.session(self.guard, threads), threads
            return self._open[0]

    async def _follow(self, session: ClientSession, request: Request, url: URL) -> Answer:
        headers = {**request.headers, **request.own}
        for hops_left in range(request.redirects, -1, -1):
            async with session.request(
                request.method,
                url,
                data=request.body or None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                target = _target(response, request.method) if hops_left else None
                if target is None:
                    return await _answer(response)
            target = self.guard().url(str(target))
            if url.scheme == "https" and target.scheme == "http":
                raise NotAllowed("it redirects from https to http")
            if target.origin() != url.origin():
                headers = {**_kind_of_body(request.headers), **request.own}
            url = target
        raise AssertionError  # with no hop left the answer is given, whatever it is


def _kind_of_body(headers: Mapping[str, str]) -> dict[str, str]:
    """What another host than the task's may know of its headers."""
    return {name: text for name, text in headers.items() if name.lower() == "content-type"}


def _import(name: str) -> None:
    with suppress(Exception):  # the import in the loop's thread says what is wrong
        importlib.import_module(name)


def _target(response: ClientResponse, method: str) -> URL | None:
    """Where it sends us, if we may go there with the same method and the same body."""
    keeps = response.status in KEEP_METHOD or method in WITHOUT_BODY
    location = response.headers.get("Location", "")
    if response.status not in REDIRECTS or not keeps or not location:
        return None
    from yarl import URL

    try:
        return response.url.join(URL(location))
    except ValueError:
        raise NotAllowed("it redirects to what is no URL") from None


async def _answer(response: ClientResponse) -> Answer:
    data, is_cut = await _beginning(response)
    is_packed = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    return Answer(
        status=response.status,
        body="" if is_packed else cleaned(data.decode(errors="replace"), EXCERPT),
        is_cut=is_cut,
        retry_after=response.headers.get("Retry-After", ""),
    )


async def _beginning(response: ClientResponse) -> tuple[bytes, bool]:
    """The first bytes of the body; whatever happens to it, the status has been heard."""
    from aiohttp import ClientError

    data = bytearray()
    with suppress(TimeoutError, ClientError, OSError):
        async with asyncio.timeout(BODY_WITHIN):
            while len(data) <= EXCERPT:
                if not (piece := await response.content.read(EXCERPT + 1 - len(data))):
                    return bytes(data), False
                data += piece
    return bytes(data[:EXCERPT]), True


def _named(error: Exception) -> NotAllowed | Unreachable:
    """What aiohttp has raised, in our words: its own hold addresses."""
    cause: Any = getattr(error, "os_error", None) or error
    if isinstance(cause, NotAllowed):
        return cause
    return Unreachable(_WORDS.get(_kind(error), "the connection failed"))


def _kind(error: Exception) -> str:
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _WORDS), "")


_WORDS = {
    "ClientConnectorCertificateError": "its certificate is not trusted",
    "ClientSSLError": "TLS could not be agreed on",
    "ClientConnectorDNSError": "its name is not known",
    "ClientConnectorError": "it cannot be reached",
    "ConnectionTimeoutError": "it cannot be reached",
    "ServerDisconnectedError": "it closed the connection without an answer",
    "ClientResponseError": "it did not answer in HTTP",
    "InvalidURL": "its name is none",
}
