"""One connection to a Redis-protocol server, within limits of time; it never mends itself."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from taskhub.config.event_urls import EventsUrl, Way, read_events_url
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import BusAway, ConfigProblem
from taskhub.events.redis_trouble import trouble

RESP = 2  # of protocol version 3 we would use nothing


FILES = "expected files in PEM form that can be read, here, in tls_certificate and in tls_key"
Login = tuple[str, Secret]


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


def key_of(channel: str, name: str) -> bytes:
    """A key of ours. What is in braces decides where it is: in a cluster all are on one node."""
    return f"{{{channel}}}:{name}".encode()


class Address(msgspec.Struct, frozen=True):
    """Where the server is and who we are; its repr shows nothing of it."""

    kind: type[AbstractConnection]
    options: dict[str, Any]
    way: Way = ""
    hosts: tuple[tuple[str, int], ...] = ()
    """Whom to ask where it is, if somebody else must say."""
    service: str = ""
    sentinels: Login = ("", Secret(""))

    def __repr__(self) -> str:
        return f"Address({self.kind.__name__})"

    @classmethod
    def parse(cls, url: str, login: RedisSection, client_name: str) -> Address:
        """Raises ConfigProblem for `events.url`, or for a file of `[redis]`."""
        try:
            place = read_events_url(url)
        except ValueError as error:
            raise ConfigProblem("events.url", str(error)) from None
        options = _signed_on(login.username, login.password) | {"client_name": client_name}
        address = cls(
            kind=_kind(place),
            options=options | _way_to(place) | (_tls(login) if place.is_tls else {}),
            way=place.way,
            hosts=place.hosts,
            service=place.service,
            sentinels=("", login.sentinel_password),
        )
        _try(address)
        return address

    def at(self, place: tuple[str, int]) -> Address:
        """The same, at a place that somebody has told."""
        host, port = place
        return Address(self.kind, self.options | {"host": host, "port": port})

    def sentinel(self, place: tuple[str, int]) -> Address:
        """One of the sentinels: it has a login of its own, and no databases."""
        keep = {k: v for k, v in self.options.items() if k not in {"db", "username", "password"}}
        host, port = place
        options = keep | _signed_on(*self.sentinels) | {"host": host, "port": port}
        return Address(self.kind, options)


def _kind(place: EventsUrl) -> type[AbstractConnection]:
    if place.path:
        return UnixDomainSocketConnection
    return SSLConnection if place.is_tls else Connection


def _way_to(place: EventsUrl) -> dict[str, Any]:
    database = {"db": place.database} if place.database else {}
    if place.path:
        return {"path": place.path} | database
    host, port = place.hosts[0]
    return {"host": host, "port": port} | database


def _signed_on(username: str, password: Secret) -> dict[str, Any]:
    options = {"username": username} if username else {}
    return options | ({"password": password.reveal()} if password else {})


def _tls(login: RedisSection) -> dict[str, str]:
    files = {
        "ssl_ca_certs": login.tls_ca,
        "ssl_certfile": login.tls_certificate,
        "ssl_keyfile": login.tls_key,
    }
    return {option: file for option, file in files.items() if file}


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

    async def ask(
        self, packed: bytes, replies: int, *, allowing: str = "", excused: int = 0
    ) -> list[Any]:
        """Send commands (one at least); what each is answered with. Raises BusAway | BusRefused.

        An error whose text begins with `allowing` is an answer like others; the last `excused`
        commands may fail in any way.
        """
        assert packed, "from Python 3.12 a transport that is given nothing is busy with it for ever"
        self._check()
        try:
            async with asyncio.timeout(self._patience.command):
                await self._connection.send_packed_command(packed, check_health=False)
                sure = [await self._reply(allowing) for _ in range(replies - excused)]
                return sure + [await self._reply(None) for _ in range(excused)]
        except (RedisError, OSError) as error:
            await self.hang_up()
            raise trouble(error) from None
        except BaseException:  # what was not read would be taken for the next one's answer
            await self.hang_up()
            raise

    async def _reply(self, allowing: str | None) -> Any:
        """The next answer; None allows every error."""
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            if allowing is None or (allowing and str(error).startswith(allowing)):
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
        raise ConfigProblem("redis.tls_ca", FILES) from None


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
