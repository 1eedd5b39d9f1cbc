"""The least that a durable `POST /tasks` can be in Python: what any way of doing it pays as well.

Body, token, id, answer; `stored` adds one row of a table with one index, committed in groups. There
is no log, no metric, no event, no rule, no limit: it shows how much of a budget they may take.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
from aiohttp import web
from uuid_utils import uuid7

Row = tuple[object, ...]
Asked = tuple[Row, "asyncio.Future[None]"]
TABLE = """
CREATE TABLE Tasks (Id TEXT PRIMARY KEY, Title TEXT, Type TEXT, RunAt INTEGER, Payload TEXT);
CREATE INDEX Tasks_Claim ON Tasks (Type, RunAt, Id);
"""
LEAST_WAIT = 0.0001  # seconds that a thread waits for Python's lock, as in the product's API


class New(msgspec.Struct):
    """What is read of a body."""

    title: str
    type: str = "noop"


async def unstored(sock: socket.socket) -> None:
    """Nothing is kept."""
    await _serve(sock, None)


async def stored(sock: socket.socket) -> None:
    """Each is on disk before it is answered."""
    asked: SimpleQueue[Asked] = SimpleQueue()
    sys.setswitchinterval(LEAST_WAIT)
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        work = (Path(folder) / "least.db", asked, loop)
        threading.Thread(target=_write, args=work, daemon=True).start()
        await _serve(sock, asked)


async def _serve(sock: socket.socket, asked: SimpleQueue[Asked] | None) -> None:
    tokens: dict[str | None, str] = {}
    read, encode = msgspec.json.Decoder(New).decode, msgspec.json.Encoder().encode
    loop = asyncio.get_running_loop()

    async def post(request: web.Request) -> web.Response:
        tokens.get(request.headers.get("Authorization"))
        new, id_ = read(await request.read()), str(uuid7())
        if asked is not None:
            stored: asyncio.Future[None] = loop.create_future()
            asked.put(((id_, new.title, new.type, time.time_ns() // 1_000, "{}"), stored))
            await stored
        answer = {"id": id_, "title": new.title, "type": new.type, "as long as a task": " " * 350}
        return web.Response(body=encode(answer), status=201, content_type="application/json")

    app = web.Application()
    app.router.add_post("/tasks", post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    await asyncio.Event().wait()


def _write(path: Path, asked: SimpleQueue[Asked], loop: asyncio.AbstractEventLoop) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = FULL")
        base.executescript(TABLE)
        while True:
            batch = [asked.get()]
            while not asked.empty():
                batch.append(asked.get())
            marks = ",".join(["(?, ?, ?, ?, ?)"] * len(batch))
            values: list[Any] = [value for row, _ in batch for value in row]
            base.execute("BEGIN IMMEDIATE")
            base.execute(f"INSERT INTO Tasks VALUES {marks}", values)  # noqa: S608 - marks alone
            base.execute("COMMIT")
            loop.call_soon_threadsafe(_answer, batch)


def _answer(batch: list[Asked]) -> None:
    for _, stored in batch:
        stored.set_result(None)
