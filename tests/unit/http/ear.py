"""One who follows events over a real connection, and what it has heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from tests.unit.http.house import House

STREAM = "text/event-stream"
WITHIN = 10.0


class Heard(msgspec.Struct):
    """One frame as a browser would dispatch it."""

    event: str
    id: str
    data: Any


class Ear:
    """Reads frames as the standard says (https://html.spec.whatwg.org, 9.2.6)."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.last_id = ""
        self.retries: list[int] = []
        self.beats = 0

    async def next(self) -> Heard | None:
        """The next event that has data; None at the end of the stream."""
        event, data = "message", ""
        async with asyncio.timeout(WITHIN):
            while line := (await self.answer.content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(":")
                value = value.removeprefix(" ")
                match name:
                    case "event":
                        event = value
                    case "data":
                        data += value
                    case "id":
                        self.last_id = value
                    case "retry":
                        self.retries.append(int(value))
                    case "" if line != "\n":
                        self.beats += 1
                    case "" if data:
                        return Heard(event, self.last_id, msgspec.json.decode(data))
        return None

    async def some(self, count: int) -> list[Heard]:
        """So many."""
        found = [await self.next() for _ in range(count)]
        assert None not in found
        return [heard for heard in found if heard is not None]

    async def rest(self) -> list[Heard]:
        """Everything until the stream ends."""
        found = []
        while (heard := await self.next()) is not None:
            found.append(heard)
        return found


@asynccontextmanager
async def listening(house: House, path: str = "/events", **headers: str) -> AsyncIterator[Ear]:
    """An ear at a stream that has begun."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with house.client.get(path, headers={"Accept": STREAM} | named) as answer:
        assert answer.status == 200, await answer.text()
        yield Ear(answer)


def names(heard: list[Heard]) -> list[str]:
    """The types of what was heard."""
    return [each.event for each in heard]
