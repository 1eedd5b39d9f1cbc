"""A thousand listeners on one API process: is every event told to each, how late, at what price.

Usage: python -m benchmarks.listeners [LISTENERS] [TASKS]
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.installation import TaskHub, token
from benchmarks.load import Target

AT_ONCE = 50
"""Connections that are made together: a crowd that comes back, and no attack."""
PATIENCE = 60.0
SPACING = 0.05  # seconds between two posts
EVENT = re.compile(rb'event: (\w+)\ndata: [^\n]*?"id":"([^"]+)"')


class Listener(asyncio.Protocol):
    """One `GET /events`: when it heard of the end of each task (`perf_counter`), by id."""

    def __init__(self, all_heard: asyncio.Semaphore) -> None:
        self.began = asyncio.get_running_loop().create_future()
        self.heard: dict[str, float] = {}
        self.doubled = 0
        self._all_heard, self._got = all_heard, b""

    def data_received(self, data: bytes) -> None:
        """Cut what has come into events."""
        now = time.perf_counter()
        if not self.began.done():
            self.began.set_result(data.startswith(b"HTTP/1.1 200"))
        *blocks, self._got = (self._got + data).split(b"\n\n")
        for block in blocks:
            found = EVENT.search(block)
            if found and found[1] == b"TaskDone":
                self._note(found[2].decode(), now)

    def _note(self, id_: str, now: float) -> None:
        if id_ in self.heard:
            self.doubled += 1
        else:
            self.heard[id_] = now
            self._all_heard.release()


async def listen(port: int, count: int, all_heard: asyncio.Semaphore) -> list[Listener]:
    """So many listeners, each of which was answered."""
    head = f"GET /events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token()}\r\n\r\n"
    loop, listeners = asyncio.get_running_loop(), list[Listener]()
    while len(listeners) < count:
        for _ in range(min(AT_ONCE, count - len(listeners))):
            transport, listener = await loop.create_connection(
                lambda: Listener(all_heard), "127.0.0.1", port
            )
            transport.write(head.encode())
            listeners.append(listener)
        answers = await asyncio.gather(*(listener.began for listener in listeners))
        if not all(answers):
            raise RuntimeError(f"{answers.count(False)} of {len(answers)} were refused")
    return listeners


async def post(target: Target, tasks: int) -> list[float]:
    """Tasks one after the other: how long each answer took, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    body, took = target.body.encode(), []
    head = (
        f"POST /tasks HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {target.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(tasks):
        began = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", answer)
        assert length is not None, answer
        await reader.readexactly(int(length[1]))
        took.append(time.perf_counter() - began)
        await asyncio.sleep(SPACING)
    writer.close()
    return took


async def measure(hub: TaskHub, count: int, tasks: int) -> None:
    """Listen, post, wait until everybody has heard everything; print what was seen."""
    processes = hub.processes()
    all_heard = asyncio.Semaphore(0)
    before = machine.memory_of(processes)["api-1"]
    began = time.perf_counter()
    listeners = await listen(hub.port, count, all_heard)
    joined, start = time.perf_counter() - began, time.time()
    cpu = machine.cpu_of(processes)
    posts = await post(hub.target(type="noop"), tasks)
    async with asyncio.timeout(PATIENCE):
        for _ in range(count * tasks):
            await all_heard.acquire()
    spent = machine.difference(machine.cpu_of(processes), cpu)["api-1"]
    memory = machine.memory_of(processes)["api-1"]
    delays = await asyncio.to_thread(_delays, hub, listeners, start - began - joined)
    told = sum(len(listener.heard) for listener in listeners)
    doubled = sum(listener.doubled for listener in listeners)
    print(f"listeners             {count:,}, joined in {joined:.2f} s")
    print(f"ends told             {told:,}, doubled {doubled}")
    print(f"end to heard, ms      {_quantiles(delays)}")
    print(f"POST meanwhile, ms    {_quantiles(posts)}")
    print(f"API process           {before:.1f} MB, then {memory:.1f}; CPU {spent:.2f} s")


def _quantiles(seconds: Sequence[float]) -> str:
    p50, p99 = (machine.quantile(seconds, share) * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.1f}, p99 {p99:.1f}"


def _delays(hub: TaskHub, listeners: list[Listener], offset: float) -> list[float]:
    """Seconds from the end of each task (its row) until each listener heard of it."""
    rows = hub.ask("SELECT Id, FinishedAt FROM Tasks")
    ended = {str(id_): at / 1e6 - offset for id_, at in rows}
    return [at - ended[id_] for each in listeners for id_, at in each.heard.items()]


def main() -> None:
    """Print one run."""
    count, tasks = (int(word) for word in (*sys.argv[1:], *("1000", "100")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, TaskHub(Path(folder)) as hub:
        asyncio.run(measure(hub, count, tasks))


if __name__ == "__main__":
    main()
