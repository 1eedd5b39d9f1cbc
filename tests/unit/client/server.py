"""A server that does what a test tells it, byte by byte: it answers, hangs, cuts, streams."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from taskhub.http.answers import phrase

from tests.listening import no_more

Act = Callable[[StreamWriter], Awaitable[None]]

ID = "0198c2c8-0000-7000-8000-000000000001"


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


@dataclass
class Server:
    """Does one act for each request, in turn; the last one again and again."""

    acts: deque[Act] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def says(self, status: int, body: Any = None, **headers: str) -> None:
        """Queue an answer; bytes are sent as they are."""
        self.does(_answer(status, body, headers))

    def does(self, act: Act) -> None:
        """Queue anything else."""
        self.acts.append(act)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path of each request."""
        return [(request.method, request.path) for request in self.requests]

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while request := await _read(reader):
                self.requests.append(request)
                act = self.acts.popleft() if len(self.acts) > 1 else self.acts[0]
                await act(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


def _answer(status: int, body: Any, headers: dict[str, str]) -> Act:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, bytes) else "application/json"
    fields = {"Content-Type": kind, "Content-Length": str(len(data)), **headers}

    async def act(writer: StreamWriter) -> None:
        head = f"HTTP/1.1 {status} {phrase(status)}\r\n"
        lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in fields.items())
        writer.write(f"{head}{lines}\r\n".encode() + data)
        await writer.drain()

    return act


async def cut(writer: StreamWriter) -> None:
    """Hang up without an answer."""
    writer.transport.abort()


async def silence(writer: StreamWriter) -> None:
    """Never answer, until the client hangs up."""
    await writer.wait_closed()


def stream(text: str, *, ends: bool = True) -> Act:
    """Events; then the end of the stream, or nothing more."""

    async def act(writer: StreamWriter) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + text.encode())
        await writer.drain()
        if not ends:
            await silence(writer)
        writer.close()

    return act


async def _read(reader: StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """A server on a free port."""
    told, lines = Server(), dict[StreamWriter, asyncio.Task[None]]()

    def serve(reader: StreamReader, writer: StreamWriter) -> None:
        lines[writer] = asyncio.create_task(told.serve(reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        await no_more(server)
        for writer, line in lines.items():
            line.cancel()
            writer.transport.abort()  # also of a line that has not begun
        await asyncio.gather(*lines.values(), return_exceptions=True)


def task(**changes: Any) -> dict[str, Any]:
    """A task as the API shows it."""
    return {
        "id": ID,
        "title": "Resize images",
        "type": "simulate",
        "queue": "default",
        "priority": 0,
        "status": "Pending",
        "payload": {},
        "result": None,
        "error": None,
        "progress": None,
        "attempts": 0,
        "maxAttempts": 5,
        "timeoutSeconds": 60.0,
        "cancelRequested": False,
        "createdAt": "2025-09-28T22:17:17Z",
        "updatedAt": "2025-09-28T22:17:17Z",
        "runAt": "2025-09-28T22:17:17Z",
        "startedAt": None,
        "finishedAt": None,
        "createdBy": "developer",
        **changes,
    }


def problem(status: int, code: str, **more: Any) -> dict[str, Any]:
    """An error as the API says it (RFC 9457)."""
    return {
        "type": f"urn:taskhub:problem:{code}",
        "title": phrase(status),
        "status": status,
        "detail": "So it is.",
        "instance": "urn:taskhub:request:r-1",
        "requestId": "r-1",
        **more,
    }
