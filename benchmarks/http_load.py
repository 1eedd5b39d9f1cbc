"""Keeps connections busy with one request each, over bare sockets, and says how long answers took.

Usage: python -m benchmarks.http_load PORT CONNECTIONS SECONDS < REQUEST
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

WARM_UP = 0.5


class Figures(msgspec.Struct, frozen=True):
    """What one run has shown; times in milliseconds."""

    per_second: float
    p50: float
    p99: float
    failed: int


class Load:
    """What the connections of one run share."""

    def __init__(self, request: bytes) -> None:
        self.request, self.is_over = request, False
        self.failed = 0
        self.seconds: list[float] = []


class Client(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, sends again."""

    def __init__(self, load: Load) -> None:
        self._load, self._sent_at, self._got = load, 0.0, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take what came; when the answer is whole, go on."""
        self._got += data
        if not is_whole(self._got):
            return
        self._load.failed += not self._got.startswith(b"HTTP/1.1 2")
        self._load.seconds.append(time.perf_counter() - self._sent_at)
        self._got = b""
        if not self._load.is_over:
            self._send()

    def _send(self) -> None:
        if self._transport is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(self._load.request)


def is_whole(answer: bytes) -> bool:
    """Whether these bytes are a whole answer; all of ours have a Content-Length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    start = head.find(b"Content-Length: ")
    return start >= 0 and len(body) >= int(head[start + 16 :].split(b"\r\n", 1)[0])


async def run(port: int, connections: int, seconds: float, request: bytes) -> Figures:
    """Load a server on loopback."""
    loop, load = asyncio.get_running_loop(), Load(request)
    opened = [
        await loop.create_connection(lambda: Client(load), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(WARM_UP)
    load.seconds.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    took, answers = time.perf_counter() - began, sorted(load.seconds)
    load.is_over = True
    for transport, _ in opened:
        transport.close()
    return Figures(
        per_second=len(answers) / took,
        p50=answers[len(answers) // 2] * 1e3,
        p99=answers[len(answers) * 99 // 100] * 1e3,
        failed=load.failed,
    )


def main() -> None:
    """Print the figures as JSON."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    figures = loop_run(run(port, connections, seconds, sys.stdin.buffer.read()))
    sys.stdout.buffer.write(msgspec.json.encode(figures))


def loop_run(main_: object) -> Figures:
    """`asyncio.run` on uvloop where that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main_)  # type: ignore[arg-type]
    return uvloop.run(main_)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
