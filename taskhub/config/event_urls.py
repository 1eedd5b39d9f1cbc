"""Reads `[events] url` where it names a server; no connection, no secret."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote

import msgspec

Way = Literal["", "sentinel", "cluster"]
"""How the server is found: it is the one that is named, or others say which one it is."""

FORMS = (
    "embedded, local, redis://HOST:PORT/DB, rediss://... (TLS), unix:///PATH?db=N, "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB, redis+cluster://HOST:PORT,HOST:PORT "
    "or servicebus://NAMESPACE.servicebus.windows.net/TOPIC"
)
SERVICE_BUS = "servicebus"
NO_KEY = "expected no name and no key here: [servicebus] connection_string holds them"
STREAMS = "streams"
"""Added to a scheme, it sends new work through a Redis stream."""
NO_LOGIN = "expected no name and no password here: they go into [redis]"
NO_OPTIONS = "expected a URL without # and without options"
PORT, SENTINEL_PORT = 6379, 26379

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/~-]{0,258}[A-Za-z0-9])?", re.ASCII)
_DATABASE = re.compile(r"(?:db=)?([0-9]{1,5})", re.ASCII)


class EventsUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Where the event server is: its hosts, or the path of its socket."""

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    database: int = 0
    is_tls: bool = False
    has_streams: bool = False
    """Each hint of new work goes to one worker: `redis+streams://`."""
    way: Way = ""
    service: str = ""
    """What sentinels call the server."""


class ServiceBusUrl(msgspec.Struct, frozen=True):
    """A topic of a namespace of Azure Service Bus."""

    netloc: str
    """Its host, with the port where it is not the usual one."""
    topic: str


def scheme_of(url: str) -> list[str]:
    """The parts of its scheme: `redis`, and what was added to it; empty where it has none."""
    scheme, mark, _ = url.partition("://")
    return scheme.split("+") if mark else [""]


def read_events_url(url: str) -> EventsUrl:
    """Raises ValueError with what was expected; never with what was given."""
    _, mark, rest = url.partition("://")
    base, *marks = scheme_of(url)
    ways = [mark for mark in marks if mark != STREAMS]
    if not mark or base not in {"redis", "rediss", "unix"} or len(set(marks)) < len(marks):
        raise ValueError(f"expected {FORMS}")
    if ways not in ([], ["sentinel"], ["cluster"]) or (base == "unix" and ways):
        raise ValueError(f"expected {FORMS}")
    if "#" in rest:
        raise ValueError(NO_OPTIONS)
    streams = STREAMS in marks
    if base == "unix":
        return _socket(rest, has_streams=streams)
    server = _server(rest, "".join(ways))
    return msgspec.structs.replace(server, is_tls=base == "rediss", has_streams=streams)


def read_service_bus(url: str) -> ServiceBusUrl:
    """Raises ValueError as `read_events_url` does."""
    scheme, _, rest = url.partition("://")
    names, _, topic = rest.partition("/")
    if "@" in names:
        raise ValueError(NO_KEY)
    if "?" in rest or "#" in rest:
        raise ValueError(NO_OPTIONS)
    if scheme != SERVICE_BUS or not _HOST.fullmatch(names) or not _TOPIC.fullmatch(topic):
        raise ValueError(f"expected {FORMS}")
    return ServiceBusUrl(names, topic)


def _socket(rest: str, *, has_streams: bool) -> EventsUrl:
    path, _, query = rest.partition("?")
    if not path.startswith("/") or len(path) == 1:
        raise ValueError(f"expected {FORMS}")
    return EventsUrl(path=unquote(path), database=_database(query), has_streams=has_streams)


def _server(rest: str, way: str) -> EventsUrl:
    names, _, path = rest.partition("/")
    if "@" in names:
        raise ValueError(NO_LOGIN)
    if "?" in rest:
        raise ValueError(NO_OPTIONS)
    hosts = tuple(_host(name, way) for name in names.split(","))
    if way == "sentinel":
        service, _, database = path.partition("/")
        if not service:
            raise ValueError(f"expected {FORMS}")
        found = EventsUrl(hosts=hosts, way="sentinel", service=unquote(service))
        return msgspec.structs.replace(found, database=_database(database))
    if way == "cluster" and _database(path) == 0:
        return EventsUrl(hosts=hosts, way="cluster")
    if way or len(hosts) > 1:
        raise ValueError(f"expected {FORMS}")
    return EventsUrl(hosts=hosts, database=_database(path))


def _host(name: str, way: str) -> tuple[str, int]:
    if not (match := _HOST.fullmatch(name)):
        raise ValueError(f"expected {FORMS}")
    six, four, port = match.groups()
    number = int(port) if port else SENTINEL_PORT if way == "sentinel" else PORT
    if not 0 < number < 1 << 16:
        raise ValueError("expected a port from 1 to 65535")
    return six or four, number


def _database(text: str) -> int:
    if not text:
        return 0
    if not (match := _DATABASE.fullmatch(text)):
        raise ValueError(NO_OPTIONS if "=" in text else f"expected {FORMS}")
    return int(match[1])
