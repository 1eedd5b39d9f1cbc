"""Looks at the event server: reachable, our password, what it throws away when it is full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from taskhub.app.backends import state_directory
from taskhub.app.embedded import EMBEDDED
from taskhub.cli.doctor import servicebus
from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.config.sections import Config
from taskhub.errors import BusAway, BusRefused, ConfigProblem
from taskhub.events.embedded_place import SOCKET, find_server, place_socket, socket_url
from taskhub.events.redis_finding import dial
from taskhub.events.redis_line import Address, Line, Patience, command

NAME = "event server"
NOTHING_KEPT = "noeviction"
OLDEST = (6, 2)
SLOW = 0.05  # seconds of a round trip
NEARLY = 0.9  # of a limit


def look(config: Config, runtime: Path) -> Iterator[Finding]:
    """Every finding of what `[events] url` names; `runtime` is where the sockets stand."""
    url = config.events.url
    if url == "local":
        yield ok(NAME, "none: events stay within the one process")
    elif url == EMBEDDED:
        yield from _embedded(config, runtime)
    elif config.events.is_service_bus:
        yield from servicebus.look(config)
    else:
        fix = "start it; tasks run meanwhile, but later (docs/runbook.md#event-server-lost)"
        yield from asyncio.run(_asked(config, url, fix))


def _embedded(config: Config, runtime: Path) -> Iterator[Finding]:
    program = find_server()  # raises EventsMissing, which says what to install
    socket = place_socket(state_directory(config), runtime, lambda _: None)
    if socket.exists():
        yield from asyncio.run(_asked(config, socket_url(socket), "systemctl restart taskhub"))
    else:
        yield ok(NAME, f"{program} starts with TaskHub ({SOCKET})")


async def _asked(config: Config, url: str, fix: str) -> list[Finding]:
    try:
        address = Address.parse(url, config.redis, "taskhub-doctor")
        line = await dial(address, Patience())
    except ConfigProblem as error:
        return [fail(NAME, error.detail, "taskhub check")]
    except BusRefused as error:
        return [fail(NAME, error.detail, "set redis.username and redis.password as the server has")]
    except BusAway as error:
        return [fail(NAME, error.detail, fix)]
    try:
        return await _talked(line, fix)
    finally:
        await line.hang_up()


async def _talked(line: Line, fix: str) -> list[Finding]:
    began = time.perf_counter()
    try:
        await line.ask(command(b"PING"), 1)
    except (BusAway, BusRefused) as error:
        return [fail(NAME, error.detail, fix)]
    took, told = time.perf_counter() - began, dict[str, str]()
    with suppress(BusAway, BusRefused):  # an account with few rights may not ask, and need not
        (answer,) = await line.ask(command(b"INFO"), 1)
        told = _fields(bytes(answer))
    return [_version(told, took), *_memory(told), *_clients(told)]


def _fields(answer: bytes) -> dict[str, str]:
    lines = (text.partition(":") for text in answer.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _version(told: dict[str, str], took: float) -> Finding:
    kind = "valkey" if "valkey_version" in told else "redis"
    version, text = told.get(f"{kind}_version", ""), f"it answers in {took * 1000:.1f} ms"
    if not version:  # an account with few rights is not told
        return ok(NAME, text)
    text = f"{text} ({kind} {version})"
    if kind == "redis" and _numbers(version) < OLDEST:
        return warn(NAME, f"{text}: too old for streams", "Redis 6.2 or newer, or Valkey")
    if took > SLOW:
        return warn(NAME, f"{text}: new tasks start so much later", "a server that is nearer")
    return ok(NAME, text)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _memory(told: dict[str, str]) -> Iterator[Finding]:
    """Only counts of rate limits stay in it; where they are thrown away, limits are not kept."""
    policy, limit = told.get("maxmemory_policy"), told.get("maxmemory", "0")
    if policy is None:
        return
    name = "its memory"
    if limit != "0" and policy != NOTHING_KEPT:
        text = f"maxmemory-policy is {policy}: counts of rate limits may vanish"
        yield warn(name, text, f"maxmemory-policy {NOTHING_KEPT} in the server's configuration")
    elif limit != "0" and float(told.get("used_memory", 0)) > NEARLY * float(limit):
        used = told.get("used_memory_human", "?")
        text = f"{used} used, nearly all that it may: when it is full it takes no hints"
        yield warn(name, text, "a higher maxmemory, or a server for TaskHub alone")
    else:
        yield ok(name, f"{told.get('used_memory_human', '?')} used, nothing is thrown away")


def _clients(told: dict[str, str]) -> Iterator[Finding]:
    """Each process of ours holds up to five connections."""
    used, most = told.get("connected_clients"), told.get("maxclients")
    if used is None or most is None:
        return
    text = f"{used} of {most} are connected"
    if float(used) > NEARLY * float(most):
        yield warn("its clients", text, "a higher maxclients; CLIENT LIST says who they are")
    else:
        yield ok("its clients", text)
