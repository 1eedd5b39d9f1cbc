"""A TCP proxy between a program and its server that can be slow, cut, or a black hole."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from ssl import SSLContext
from typing import Self

from tests.listening import no_more


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes bytes on to a unix socket or a (host, port).

    `latency`: seconds that every piece of data waits, each way. With `tls` it is the server's end
    of a TLS line. Use it with `async with`.
    """

    def __init__(self, target: Path | tuple[str, int], tls: SSLContext | None = None) -> None:
        self.latency = 0.0
        self.port = 0
        self._target, self._tls = target, tls
        self._lines: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        await no_more(self._server)
        self.cut()
        if self._lines:
            await asyncio.wait(self._lines)

    def cut(self) -> None:
        """Close every connection; new ones are taken."""
        for line in self._lines:
            line.cancel()

    def black_hole(self) -> None:
        """Connections stay and new ones are taken, but nothing passes any more."""
        self._flowing.clear()

    def heal(self) -> None:
        """What waits and what comes passes again."""
        self._flowing.set()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # cut: by a test, or by either side
        finally:
            writer.transport.abort()
            self._lines.discard(line)

    async def _join(self, reader: StreamReader, writer: StreamWriter) -> None:
        await self._flowing.wait()
        server_reader, server_writer = await self._dial()
        try:
            ways = {
                asyncio.create_task(self._pass(reader, server_writer)),
                asyncio.create_task(self._pass(server_reader, writer)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            server_writer.transport.abort()

    async def _dial(self) -> tuple[StreamReader, StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            if self.latency:
                await asyncio.sleep(self.latency)  # noqa: TID251 - the network's time, not ours
            writer.write(data)
            await writer.drain()
