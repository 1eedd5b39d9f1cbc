"""A process's own side of supervision: a thread that answers while the event loop may be stuck.

It serves the supervision socket: one JSON line a connection, one answer (a JSON line, or raw
bytes after a line that says how many); `GET /ready` too, for curl and probes. It never carries the
work of the process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskhub.kernel.call import Refused, Unreachable, call, call_blocking
from taskhub.kernel.events import Emit, LoopBlocked, ignore
from taskhub.kernel.page import is_page, page_of
from taskhub.kernel.pulse import BLOCKED, EVERY, Pulse
from taskhub.kernel.stacks import stacks, thread_stack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    Answer = Mapping[str, Any] | bytes
    Args = dict[str, Any]
    Quick = Callable[[Args], Answer]
    Verb = Callable[[Args], Awaitable[Answer]]

__all__ = ["Keeper", "Pulse", "Refused", "Unreachable", "call", "call_blocking"]

MAX_REQUEST = 1024 * 1024  # bytes of one request: a whole configuration fits
CONNECTIONS = 32
REQUEST_WITHIN = 5.0  # seconds to send the request, and to take the answer
VERB_WITHIN = 60.0  # seconds for the loop to carry out a verb


class Keeper:
    """Serves `path` from a thread of its own.

    `quick` verbs are plain functions called in that thread (they must be quick and must not
    touch the loop); `verbs` are coroutine functions run on the loop. Both are given the
    request's arguments, and both tables may grow while it runs. `ping` and `stacks` are its own.
    """

    def __init__(
        self,
        path: Path,
        pulse: Pulse,
        *,
        name: str = "",
        quick: Mapping[str, Quick] | None = None,
        verbs: Mapping[str, Verb] | None = None,
        emit: Emit = ignore,
    ) -> None:
        """Take what it needs; `start` makes the thread."""
        self.path, self.pulse, self.name, self._emit = path, pulse, name, emit
        own: dict[str, Quick] = {"ping": self._ping, "stacks": self._stacks}
        self.quick: dict[str, Quick] = own | dict(quick or {})
        self.verbs: dict[str, Verb] = dict(verbs or {})
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve from now on; call it in the loop's thread. Raises OSError for a bad path."""
        self._loop, self._loop_thread = loop, threading.get_ident()
        self._listener = listen(self.path)
        self._inode = self.path.stat().st_ino
        self._own_loop = asyncio.SelectorEventLoop()  # a quick one brings nothing here
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and take the socket away."""
        if self._thread is None:
            return
        self._own_loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._thread = None
        with suppress(OSError):
            if self.path.stat().st_ino == self._inode:  # else a successor's
                self.path.unlink()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._own_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(
            self._connected, sock=self._listener, limit=MAX_REQUEST
        )
        self._look_later(False, time.monotonic())
        await self._closing.wait()
        self._timer.cancel()
        server.close()

    def _look_later(self, blocked: bool, since: float) -> None:  # noqa: FBT001 - a timer's argument
        """A timer, for a coroutine that waits would cost an idle process three times as much."""
        self._timer = self._own_loop.call_later(EVERY, self._look_in_turn, blocked, since)

    def _look_in_turn(self, blocked: bool, since: float) -> None:  # noqa: FBT001 - see above
        now = time.monotonic()
        stood_still = now - since > 2 * EVERY  # all of us: not the loop's fault
        self._look_later(blocked if stood_still else self._look(told=blocked), now)

    def _look(self, *, told: bool) -> bool:
        age = self.pulse.age()
        if age <= BLOCKED:
            return False
        if not told:
            with suppress(Exception):  # who listens must not be able to stop the keeper
                stack = thread_stack(self._loop_thread)
                self._emit(LoopBlocked(self.name, age, stack, self.pulse.doing()))
        return True

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS:
            writer.transport.abort()
            return
        task = self._own_loop.create_task(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError):
                writer.write(await self._answer_to(reader))
                async with asyncio.timeout(REQUEST_WITHIN):
                    await writer.drain()
        finally:
            writer.close()

    async def _answer_to(self, reader: asyncio.StreamReader) -> bytes:
        try:
            line = await self._line_of(reader)
            if is_page(line):
                return await page_of(line, reader, self.quick, REQUEST_WITHIN)
            request = _request_of(line)
            return encode(await self._carry_out(request.pop("verb"), request))
        except Refused as refusal:
            return encode(error(refusal.code, refusal.detail))
        except Exception as failure:  # noqa: BLE001 - the asker is told, whatever it was
            return encode(error("failed", f"{type(failure).__name__}: {failure}"))

    async def _line_of(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(REQUEST_WITHIN):
                return await reader.readuntil(b"\n")
        except EOFError:
            raise Refused("bad-request", "one line of JSON is wanted") from None
        except asyncio.LimitOverrunError:
            raise Refused("bad-request", f"it has over {MAX_REQUEST} bytes") from None
        except TimeoutError:
            raise Refused("bad-request", f"it did not come in {REQUEST_WITHIN:g} s") from None

    async def _carry_out(self, verb: str, args: Args) -> Answer:
        if verb in self.quick:
            return self.quick[verb](args)
        if verb not in self.verbs:
            raise Refused("unknown-verb", f"known are {', '.join(self.quick | self.verbs)}")
        work = asyncio.run_coroutine_threadsafe(_run_verb(self.verbs[verb], args), self._loop)
        try:
            async with asyncio.timeout(VERB_WITHIN):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise Refused("timeout", f"{verb} was not done in {VERB_WITHIN:g} s") from None

    def _ping(self, _: Args) -> Answer:
        pulse = self.pulse
        return {
            "pid": os.getpid(),
            "age": round(pulse.age(), 3),
            "ready": pulse.is_ready,
            "draining": pulse.is_draining,
            "overdue": pulse.is_overdue(),
        }

    def _stacks(self, _: Args) -> Answer:
        return {"stacks": stacks(self._loop)}


def _request_of(line: bytes) -> Args:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise Refused("bad-request", "one line of JSON is wanted") from None
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise Refused("bad-request", "an object with a verb is wanted")
    return request


async def _run_verb(verb: Verb, args: Args) -> Answer:
    return await verb(args)


def listen(path: Path) -> socket.socket:
    """Bind a unix socket that only its owner may use; what lies there from before is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before it has a name: it is never wider
        listener.bind(str(path))
        listener.listen(CONNECTIONS)
        listener.setblocking(False)
    except OSError as failure:
        listener.close()
        raise OSError(failure.errno, failure.strerror or str(failure), str(path)) from failure
    return listener


def error(code: str, detail: str) -> dict[str, Any]:
    """An answer that says no."""
    return {"error": code, "detail": detail}


def encode(answer: Answer) -> bytes:
    """The bytes of an answer; data classes become objects."""
    if isinstance(answer, bytes):
        return json.dumps({"bytes": len(answer)}).encode() + b"\n" + answer
    return json.dumps(answer, default=_plain).encode() + b"\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
