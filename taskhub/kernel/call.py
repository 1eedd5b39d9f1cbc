"""The asking side of the supervision socket: one JSON line there, one answer back."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAX_ANSWER = 64 * 1024 * 1024  # a metrics snapshot is far smaller
WITHIN = 5.0


class Unreachable(Exception):
    """Nobody answers at that supervision socket, or not in time."""


class Refused(Exception):
    """The process answered with an error: `code` says which, the text says why."""

    def __init__(self, code: str, detail: str) -> None:
        """Take what the answer said."""
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


async def call(path: Path, verb: str, within: float = WITHIN, **args: Any) -> dict[str, Any]:
    """Ask one process; a raw answer is under `body` as bytes. Raises Unreachable or Refused."""
    try:
        async with asyncio.timeout(within):
            header, body = await _exchange(path, request(verb, args))
    except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise Unreachable(f"{path}: {type(error).__name__}: {error}") from error
    return _result(header, body)


def call_blocking(path: Path, verb: str, timeout: float = WITHIN, **args: Any) -> dict[str, Any]:
    """The same without an event loop, for commands; `timeout` holds for each step."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout)
            line.connect(str(path))
            line.sendall(request(verb, args))
            with line.makefile("rb") as answer:
                header = _parse(answer.readline(MAX_ANSWER))
                body = answer.read(header.get("bytes", 0))
    except (OSError, EOFError, ValueError) as error:
        raise Unreachable(f"{path}: {type(error).__name__}: {error}") from error
    return _result(header, body)


def request(verb: str, args: dict[str, Any]) -> bytes:
    """One line of JSON."""
    return json.dumps({"verb": verb, **args}).encode() + b"\n"


async def _exchange(path: Path, line: bytes) -> tuple[dict[str, Any], bytes]:
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER)
    try:
        writer.write(line)
        header = _parse(await reader.readuntil(b"\n"))
        return header, await reader.readexactly(header.get("bytes", 0))
    finally:
        writer.transport.abort()  # one exchange a connection: nothing is left to be said


def _parse(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise EOFError("the answer was cut")
    header = json.loads(line)
    if not isinstance(header, dict):
        raise ValueError("the answer is no object")  # noqa: TRY004 - bad JSON of one kind
    return header


def _result(header: dict[str, Any], body: bytes) -> dict[str, Any]:
    if "error" in header:
        raise Refused(str(header["error"]), str(header.get("detail", "")))
    if len(body) != header.get("bytes", 0):
        raise Unreachable("the answer was cut")
    return {**header, "body": body} if "bytes" in header else header
