"""How a connection to another host is made: the address that was checked is the one dialled.

Imported when the first request is sent, since aiohttp is heavy.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from taskhub.work.outbound.guard import Guard, NotAllowed
from taskhub.work.threads import Threads

CONNECT_WITHIN = 10.0
"""Seconds for the connection to one address."""


def session(guard: Callable[[], Guard], threads: Threads) -> ClientSession:
    """Every request resolves, checks and dials anew, and takes nothing from the environment.

    So a name that is another address a moment later finds the same door as the first time, and a
    narrower `[outbound] allow` holds from the next request on.
    """
    connector = TCPConnector(
        resolver=_Resolver(guard, threads),
        socket_factory=partial(_socket, guard),
        use_dns_cache=False,
        force_close=True,
        limit=0,  # as many as tasks run
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_WITHIN),
        auto_decompress=False,  # who asks for no compression need not open any
        skip_auto_headers=("Content-Type",),  # the task says what its body is
        trust_env=False,  # no proxy: it would dial for us
    )


class _Resolver(AbstractResolver):
    """The system's, in threads of our own; a name with one forbidden address is forbidden."""

    def __init__(self, guard: Callable[[], Guard], threads: Threads) -> None:
        self._guard, self._threads = guard, threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError, NotAllowed among them."""
        found = await self._threads.call(partial(_look_up, host, port, family))
        if isinstance(found, Exception):
            raise found
        guard = self._guard()
        for _, _, _, _, address in found:
            guard.address(str(address[0]))
        return [_result(host, port, row) for row in found]

    async def close(self) -> None:
        """Nothing is held here."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> Any:
    """In a thread: nothing may be raised there."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:  # a label that is too long
        return OSError(str(error))


def _result(host: str, port: int, row: Any) -> ResolveResult:
    family, _, protocol, _, address = row
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(
        hostname=host, host=str(address[0]), port=port, family=family, proto=protocol, flags=flags
    )


def _socket(guard: Callable[[], Guard], info: Any) -> socket.socket:
    """The last look, at the very address that is dialled: also of hosts that are no names."""
    family, kind, protocol, _, address = info
    guard().address(str(address[0]))
    return socket.socket(family, kind, protocol)


__all__ = ["NotAllowed", "session"]
