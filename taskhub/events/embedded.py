"""The `events-server` actor: a Valkey or Redis server as a child process on a unix socket."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taskhub.errors import TaskHubError
from taskhub.events import tether
from taskhub.events.embedded_place import owned
from taskhub.kernel.actor import ExpectedExit
from taskhub.obs.telemetry import Emit, ProcessChanged, ServerSaid

if TYPE_CHECKING:
    from taskhub.kernel.actor import Context

LOOK_EVERY = 0.01  # seconds between two looks at a server that starts
FROZEN = "it does not answer its ping"


class EmbeddedServerFailed(TaskHubError):
    """The event server does not start: its own words are in the log at level debug."""

    code = "events-failed"


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: to start, between pings, for a ping's echo, and to stop before it is killed."""

    start: float = 8.0
    ping: float = 2.0
    echo: float = 1.0
    stop: float = 2.0


class EmbeddedServer:
    """Ready when the server answers; a frozen one is killed; its death is an ExpectedExit.

    It keeps nothing on disk. It dies with this process, whatever kills it.
    """

    def __init__(self, program: Path, socket: Path, emit: Emit, pace: Pace | None = None) -> None:
        self._program, self._socket, self._emit = program, socket, emit
        self._pace = pace or Pace()
        self._name = ""
        self.pid: int | None = None

    async def run(self, ctx: Context) -> None:
        """Live as long as the server. Raises ExpectedExit | EmbeddedServerFailed when it ends."""
        self._name = ctx.name
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with owned(self._socket):
            await self._clear()
            trouble = await self._live(ctx)
        if trouble and ctx.is_ready.is_set():
            raise ExpectedExit(f"the event server has ended: {trouble}")
        if trouble:
            raise EmbeddedServerFailed

    async def _live(self, ctx: Context) -> str:
        """One server's life; why it ended, or nothing when it was told to."""
        process = await self._spawn()
        async with asyncio.TaskGroup() as group:  # both end by themselves with the process
            group.create_task(self._relay(process))
            gone = group.create_task(process.wait())
            patience = 0.0
            try:
                trouble = await self._watch(ctx, gone)
                patience = 0.0 if trouble else self._pace.stop
            finally:
                await self._end(process, gone, patience)
        return trouble

    async def _watch(self, ctx: Context, gone: asyncio.Task[int]) -> str:
        """Until a stop is asked for: nothing; until it dies or freezes: how."""
        late = asyncio.get_running_loop().time() + self._pace.start
        while not ctx.stopping.is_set() and not gone.done():
            if await ping(self._socket, self._pace.echo):
                self._is_ready(ctx)
            elif await self._is_lost(ctx, late) and not gone.done():
                return FROZEN
            await _first(
                ctx.stopping, gone, self._pace.ping if ctx.is_ready.is_set() else LOOK_EVERY
            )
        return "" if ctx.stopping.is_set() else f"exit code {gone.result()}"

    async def _is_lost(self, ctx: Context, late: float) -> bool:
        """After a missed echo: too late to start, or it misses the next too (we may be slow)."""
        if not ctx.is_ready.is_set():
            return asyncio.get_running_loop().time() > late
        return not await ping(self._socket, self._pace.echo)

    def _is_ready(self, ctx: Context) -> None:
        if not ctx.is_ready.is_set():
            ctx.ready()
            self._tell("ready")

    async def _spawn(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid())),
            *(str(self._program), *options(self._socket)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env={"PATH": os.defpath},  # it gets none of our secrets
            start_new_session=True,  # a Ctrl-C is for us: it is stopped last
        )
        self.pid = process.pid
        self._tell("spawned")
        return process

    async def _relay(self, process: Process) -> None:
        """Its log becomes ours. It must be read, or a full pipe would stop the server."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._emit(ServerSaid(text=line.decode(errors="replace").strip()))

    async def _end(self, process: Process, gone: asyncio.Task[int], patience: float) -> None:
        """Ask, wait so long, kill. A frozen process hears nothing but SIGKILL."""
        if patience:
            _send(process, signal.SIGTERM)
            await asyncio.wait({gone}, timeout=patience)
        if not gone.done():
            self._tell("killed")
            _send(process, signal.SIGKILL)
            await asyncio.wait({gone})
        self._tell("exited", f"code {process.returncode}")
        self.pid = None

    async def _clear(self) -> None:
        """Take away what a killed one has left: a socket, and where no tether holds, a server."""
        if await said_back(self._socket, b"SHUTDOWN NOSAVE\r\n", self._pace.stop) is not None:
            self._tell("killed", "left over from an earlier run")
        self._socket.unlink(missing_ok=True)

    def _tell(self, what: str, detail: str = "") -> None:
        self._emit(ProcessChanged(actor=self._name, pid=self.pid or 0, what=what, detail=detail))


def options(socket: Path) -> tuple[str, ...]:
    """The server's command line: no port, no disk, and no message larger than a megabyte."""
    return (
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "600"),
        *("--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(socket.parent)),
        *("--proto-max-bulk-len", "1mb"),
    )


async def ping(socket: Path, within: float) -> bool:
    """Whether a server on this socket answers in so many seconds."""
    return await said_back(socket, b"PING\r\n", within) == b"+PONG\r\n"


async def said_back(socket: Path, command: bytes, within: float) -> bytes | None:
    """The first line of the answer (empty: it hung up), None when there is none in time."""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(command)
                return await reader.readline()
            finally:
                writer.transport.abort()
    except OSError:  # nobody is there; a TimeoutError is one too
        return None


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended, and is not reaped yet
        process.send_signal(number)


async def _first(stopping: asyncio.Event, gone: asyncio.Task[int], seconds: float) -> None:
    """Wait for a stop, for the end of the process, or so long."""
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({stop, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
