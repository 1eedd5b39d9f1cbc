"""One connection to a Redis-protocol server, within limits of time; it never mends itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from taskhub.config.sections import STREAMS, Secret
from taskhub.errors import BusAway, ConfigProblem
from taskhub.events.redis_trouble import trouble

RESP = 2  # of protocol version 3 we would use nothing
URL_FORMS = "expected redis://host:port/db, rediss://... or unix:///path?db=0"
URL_OPTIONS = frozenset({"db", "username", "password"})


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in seconds: to connect, to be answered, of silence before a ping, and for its echo."""

    connect: float = 2.0
    command: float = 1.0
    quiet: float = 2.0
    echo: float = 2.0


def command(*words: bytes) -> bytes:
    """A command as it goes over the line (RESP)."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


class Address(msgspec.Struct, frozen=True):
    """Where the server is and who we are; its repr shows nothing of it."""

    kind: type[AbstractConnection]
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"Address({self.kind.__name__})"

    @classmethod
    def parse(cls, url: str, username: str, password: Secret, client_name: str) -> Address:
        """Read a URL; a given name or password wins over the URL's. Raises ConfigProblem."""
        options: dict[str, Any] = dict(_parsed(url))
        kind = options.pop("connection_class", Connection)
        _check(options, is_tls=kind is SSLConnection)
        if kind is UnixDomainSocketConnection and not options.get("path"):
            raise ConfigProblem("events.url", URL_FORMS)
        options |= {"username": username} if username else {}
        options |= {"password": password.reveal()} if password else {}
        address = cls(kind, options | {"client_name": client_name})
        _try(address)
        return address


def _parsed(url: str) -> Any:
    scheme, mark, rest = url.partition("://")
    try:
        return parse_url(f"{scheme.removesuffix(STREAMS)}{mark}{rest}")
    except ValueError:  # its text may quote what was given
        raise ConfigProblem("events.url", URL_FORMS) from None


def _check(options: Iterable[str], *, is_tls: bool) -> None:
    for name in set(options) - URL_OPTIONS - {"host", "port", "path"}:
        if not (is_tls and name.startswith("ssl_")):
            raise ConfigProblem("events.url", f"{URL_FORMS}, without an option {name!r}")


class Line:
    """An open connection; after any error it is down for good. One caller at a time."""

    def __init__(self, connection: AbstractConnection, patience: Patience) -> None:
        self._connection, self._patience = connection, patience
        self.is_down = False

    @classmethod
    async def dial(cls, address: Address, patience: Patience) -> Line:
        """Connect, authenticate, choose the database. Raises BusAway | BusRefused."""
        connection = _made(address, patience)
        try:
            async with asyncio.timeout(patience.connect + patience.command):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise trouble(error) from None  # its text may name hosts and users
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, patience)

    async def ask(self, packed: bytes, replies: int, *, allowing: str = "") -> list[Any]:
        """Send commands; what each is answered with. Raises BusAway | BusRefused.

        An error whose text begins with `allowing` is an answer like others.
        """
        self._check()
        try:
            async with asyncio.timeout(self._patience.command):
                await self._connection.send_packed_command(packed, check_health=False)
                return [await self._reply(allowing) for _ in range(replies)]
        except (RedisError, OSError) as error:
            await self.hang_up()
            raise trouble(error) from None
        except BaseException:  # what was not read would be taken for the next one's answer
            await self.hang_up()
            raise

    async def _reply(self, allowing: str) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            if allowing and str(error).startswith(allowing):
                return error
            raise

    async def say(self, packed: bytes) -> None:
        """Send a command whose answer is heard among others. Raises BusAway | BusRefused."""
        await self.ask(packed, 0)

    async def hear(self, within: float) -> Any:
        """What comes next, or None when nothing came in so many seconds.

        Raises BusAway | BusRefused.
        """
        self._check()
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=within)
        except (RedisError, OSError) as error:
            await self.hang_up()
            raise trouble(error) from None

    async def has_news(self) -> bool:
        """Whether something can be read at once: an answer, or the end of the line."""
        try:
            return self.is_down or await self._connection.can_read()
        except (RedisError, OSError):
            return True

    async def hang_up(self) -> None:
        """Close, without waiting for a server that may be frozen; may be called twice."""
        if not self.is_down:
            self.is_down = True
            await self._connection.disconnect(nowait=True)

    def _check(self) -> None:
        if self.is_down:  # the client would silently connect anew, unsubscribed
            raise BusAway("the event server does not answer: the line was cut")


def _try(address: Address) -> None:
    """Find mistakes now: at the first call they would look like a server that is away."""
    try:
        connection = _made(address, Patience())
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except (RedisError, OSError, TypeError, ValueError):  # OSError: a file, or what is in it
        raise ConfigProblem("events.url", "an ssl_ option in it cannot be used") from None


def _made(address: Address, patience: Patience) -> AbstractConnection:
    """A connection that never retries; its own timeouts are off, they cost 5 us a reply."""
    return address.kind(
        **address.options,
        protocol=RESP,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=patience.connect,
        health_check_interval=0,
    )
