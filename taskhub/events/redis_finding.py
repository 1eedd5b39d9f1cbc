"""Connects to the event server, wherever it is now: sentinels or a cluster know that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from redis.crc import key_slot

from taskhub.errors import BusAway, BusRefused
from taskhub.events.redis_line import Address, Line, Patience, command

NO_SERVICE = "the sentinels do not know the service in [events] url"
NO_MASTER = "the event server does not answer: it is a replica"
NO_NODE = "the event server does not answer: no node of the cluster is in charge of our keys"

Place = tuple[str, int]


async def dial(address: Address, patience: Patience, key: bytes = b"") -> Line:
    """Connect to where the server is; in a cluster to the node of `key`.

    Raises BusAway | BusRefused.
    """
    match address.way:
        case "sentinel":
            return await _by_sentinel(address, patience)
        case "cluster":
            place = await first([_owner(address, at, patience, key) for at in address.hosts])
            return await Line.dial(address.at(place), patience)
        case _:
            return await Line.dial(address, patience)


async def _by_sentinel(address: Address, patience: Patience) -> Line:
    place = await first([_told(address, at, patience) for at in address.hosts])
    line = await Line.dial(address.at(place), patience)
    try:
        await _be_master(line)
    except BaseException:
        await line.hang_up()
        raise
    return line


async def _be_master(line: Line) -> None:
    """Raises BusAway when the sentinels are behind."""
    (role,) = await line.ask(command(b"ROLE"), 1)
    if role[0] != b"master":
        raise BusAway(NO_MASTER)


async def _told(address: Address, at: Place, patience: Patience) -> Place:
    """Where a sentinel says that the master is."""
    service = address.service.encode()
    asked = command(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
    told = await _answer(address.sentinel(at), patience, asked)
    if told is None:
        raise BusRefused(NO_SERVICE)
    return told[0].decode(), int(told[1])


async def _owner(address: Address, at: Place, patience: Patience, key: bytes) -> Place:
    """The node that has the slot of `key` (Redis Cluster specification)."""
    slot = key_slot(key)
    told = await _answer(address.at(at), patience, command(b"CLUSTER", b"SLOTS"))
    for start, end, (host, port, *_), *_ in told:
        if start <= slot <= end:
            name = (host or b"").decode()
            return (name if name not in {"", "?"} else at[0], int(port))
    raise BusAway(NO_NODE)


async def _answer(address: Address, patience: Patience, asked: bytes) -> Any:
    line = await Line.dial(address, patience)
    try:
        (answer,) = await line.ask(asked, 1)
        return answer
    finally:
        await line.hang_up()


async def first(asked: Iterable[Awaitable[Any]]) -> Any:
    """The first answer; who gives none holds nobody up. Raises what the last one has raised."""
    tasks = {asyncio.ensure_future(each) for each in asked}
    try:
        waiting = tasks
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return task.result()
            if not waiting:
                return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
