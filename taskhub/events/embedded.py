"""The `events-server` actor: a Valkey or Redis server as a child process on a unix socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taskhub.config.runtime import make_private
from taskhub.events.embedded_place import owned
from taskhub.kernel.process import ChildProcess, Health, ProcessSpec
from taskhub.kernel.tether import tethered
from taskhub.obs.telemetry import Emit, ServerSaid

if TYPE_CHECKING:
    from taskhub.kernel.actor import Context


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: to start, between pings, of silence that means frozen, to stop before a kill."""

    start: float = 8.0
    ping: float = 1.0
    frozen: float = 4.0
    stop: float = 2.0


class EmbeddedServer:
    """Ready when the server answers; it keeps nothing on disk and dies with this process.

    Its death is an ExpectedExit, whoever killed it; a frozen one is killed. `pid` is the
    server's while it lives.
    """

    def __init__(self, program: Path, socket: Path, emit: Emit, pace: Pace | None = None) -> None:
        self._program, self._socket, self._emit = program, socket, emit
        self._pace = pace or Pace()
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """For the actor tree."""
        return self._child.pid if self._child else None

    async def run(self, ctx: Context) -> None:
        """Live as long as the server. Raises ExpectedExit | ChildDied | EmbeddedServerTaken."""
        make_private(self._socket.parent)
        with owned(self._socket):
            await self._clear()
            async with told(self._emit) as output:
                self._child = ChildProcess(self._spec(output))
                await self._child.run(ctx)

    def _spec(self, output: int) -> ProcessSpec:
        command = [str(self._program), *options(self._socket)]
        return ProcessSpec(
            name="the event server",
            argv=lambda _: tethered(command),
            env={"PATH": os.defpath},  # it gets none of our secrets
            mint=lambda: "",
            probe=self._probe,
            output=output,
            ready_timeout=self._pace.start,
            ping_every=self._pace.ping,
            lease=lambda: self._pace.frozen * 1.5,  # a child is frozen after two thirds of it
            stop_timeout=self._pace.stop,
        )

    async def _probe(self, _pid: int) -> Health:
        return Health(ready=await said_back(self._socket, b"PING\r\n") == b"+PONG\r\n")

    async def _clear(self) -> None:
        """Take away what a killed one has left: a socket, and where no tether holds, a server."""
        try:
            async with asyncio.timeout(self._pace.stop):
                await said_back(self._socket, b"SHUTDOWN NOSAVE\r\n")
        except OSError:  # nobody is there; a TimeoutError is one too
            pass
        self._socket.unlink(missing_ok=True)


def options(socket: Path) -> tuple[str, ...]:
    """The server's command line: no port, no disk, and no message larger than a megabyte."""
    return (
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "600"),
        *("--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(socket.parent)),
        *("--proto-max-bulk-len", "1mb"),
        *("--hz", "1"),  # its own chores: it has none that matter here, and wakes up for them
    )


async def said_back(socket: Path, command: bytes) -> bytes:
    """The first line of a server's answer; empty when it hangs up. Raises OSError."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(command)
        return await reader.readline()
    finally:
        writer.transport.abort()


@asynccontextmanager
async def told(emit: Emit) -> AsyncIterator[int]:
    """A pipe to write a log into; its lines become ours. Unread, it would stop the writer."""
    source, sink = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb")
    )
    telling = asyncio.create_task(_tell(reader, emit))
    try:
        yield sink
    finally:
        os.close(sink)
        await telling  # the writer has ended: so does the pipe
        transport.close()


async def _tell(reader: asyncio.StreamReader, emit: Emit) -> None:
    while line := await reader.readline():
        emit(ServerSaid(text=line.decode(errors="replace").strip()))
