"""Events as they happen: a stream that comes back by itself, and goes on where it was cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from taskhub.client.errors import TaskHubError, Unreachable
from taskhub.client.line import NO_CONTENT, Ask, Line
from taskhub.client.retries import may_pass, patient
from taskhub.client.sse import Message, Parser, TooLong
from taskhub.client.structs import Event


class Opened(msgspec.Struct, frozen=True):
    """The stream stands (again)."""


class Stream:
    """One stream from its first connection to its last; `last_id` is where it goes on."""

    def __init__(self, line: Line, path: str, query: dict[str, str], last_id: str) -> None:
        self._line, self._path, self._query = line, path, query
        self.last_id = last_id
        self._retries = patient(line.retries)
        self._wanted_pause, self._failures, self._good_at = 0.0, 0, 0.0
        self._is_over = False

    async def messages(self) -> AsyncGenerator[Message | Opened, None]:
        """Everything that comes, over as many connections as it takes; raises TaskHubError."""
        self._good_at = asyncio.get_running_loop().time()
        while not self._is_over:
            try:
                async with aclosing(self._connection()) as messages:
                    async for message in messages:
                        yield message
            except TaskHubError as error:
                await self._rest(error)

    async def _connection(self) -> AsyncGenerator[Message | Opened, None]:
        """What comes over one connection; raises TaskHubError at its end, if another is due."""
        async with self._line.opened(self._ask()) as response:
            if response.status == NO_CONTENT:  # "do not ask again" (HTML standard, 9.2)
                self._is_over = True
                return
            yield Opened()
            parser = Parser(self.last_id)
            async for piece in response.content.iter_any():
                for message in self._read(parser, piece):
                    yield message
                self.last_id = parser.last_id
        raise Unreachable("the stream has ended")

    def _read(self, parser: Parser, piece: bytes) -> list[Message]:
        self._failures, self._good_at = 0, asyncio.get_running_loop().time()
        try:
            messages = parser.feed(piece)
        except TooLong as error:
            raise self._line.strange(200) from error
        self._wanted_pause = parser.pause or self._wanted_pause
        return messages

    async def _rest(self, error: TaskHubError) -> None:
        """Wait before the next connection; raises the error when that is not worth it."""
        self._failures += 1
        error.attempts = self._failures
        if self._line.has_newer_token(error, self._failures):
            return
        elapsed = asyncio.get_running_loop().time() - self._good_at
        pause = self._retries.pause(self._failures, error.retry_after, elapsed)
        if pause is None or not may_pass(error, is_repeatable=True):
            raise error
        await asyncio.sleep(max(pause, min(self._wanted_pause, self._retries.within)))

    def _ask(self) -> Ask:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        return Ask(path=self._path, query=self._query, headers=headers)


def event_of(message: Message) -> Event | None:
    """The event that a message tells of; None where it is none of ours."""
    try:
        told = msgspec.json.decode(message.data, type=dict[str, Any])
        seq = int(message.id) if message.id.isdecimal() else 0
        return msgspec.convert({"type": message.type, **told, "seq": seq}, Event)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
