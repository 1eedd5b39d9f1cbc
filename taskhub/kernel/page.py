"""What the supervision socket says over HTTP: `GET /ready`, for curl and probes; nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PAGES = {"/ready": "ready"}
"""The quick verb behind each path; its answer says in `ready` whether it is a 200 or a 503."""
YES, NO, NOT_FOUND = "200 OK", "503 Service Unavailable", "404 Not Found"


def is_page(line: bytes) -> bool:
    """Whether somebody speaks HTTP to us; JSON never begins so."""
    return line.startswith((b"GET /", b"HEAD /"))


async def page_of(
    line: bytes,
    reader: asyncio.StreamReader,
    quick: Mapping[str, Callable[[dict[str, Any]], Any]],
    within: float,
) -> bytes:
    """The whole answer to the request that begins with this line."""
    await _skip_fields(reader, within)
    method, path, *_ = [*line.split(), b""]
    verb = PAGES.get(path.decode(errors="replace"), "")
    if verb not in quick:
        return _message(NOT_FOUND, {"error": "not-found", "known": list(PAGES)}, method)
    answer = dict(quick[verb]({}))
    return _message(YES if answer["ready"] else NO, answer, method)


async def _skip_fields(reader: asyncio.StreamReader, within: float) -> None:
    """What is left unread when a unix socket closes would be an error for its other end."""
    async with asyncio.timeout(within):
        while (await reader.readline()).strip():
            pass


def _message(status: str, answer: Mapping[str, Any], method: bytes) -> bytes:
    body = json.dumps(answer).encode() + b"\n"
    fields = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(["Retry-After: 2"] if status == NO else []),
        "Cache-Control: no-store",
        "Connection: close",
    ]
    head = "\r\n".join([*fields, "", ""]).encode()
    return head if method == b"HEAD" else head + body
