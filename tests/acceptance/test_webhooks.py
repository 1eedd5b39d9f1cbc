"""A whole TaskHub that tells a receiver what happens, whatever dies on either side."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.acceptance.installation import Installation
from tests.unit.docs.receivers import python_receiver
from tests.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = """
[outbound]
allow = ["127.0.0.1/32"]
[outbound.webhooks.shop]
url = "http://127.0.0.1:{port}/hook"
secret = "{secret}"
events = ["TaskDone", "TaskFailed"]
types = ["simulate", "fail"]
"""


class Receiver:
    """Keeps what came, signed; its first answers are the test's, then it says yes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.unable = ["503", "429", "hold"]
        self.held, self.let_go, self.tries = asyncio.Event(), asyncio.Event(), 0
        self.taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """What was answered with yes, by webhook-id."""
        self._check = python_receiver()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert self._check(SECRET, request.headers, body)
        self.tries += 1
        how = self.unable.pop(0) if self.unable else "200"
        if how == "hold":
            self.held.set()
            await self.let_go.wait()
            how = "503"
        if how == "200":
            self.taken[request.headers["webhook-id"]].append(json.loads(body))
        return web.Response(status=int(how), headers={"Retry-After": "1"})

    def seen(self) -> set[str]:
        """The tasks that it knows of."""
        return {each["id"] for told in self.taken.values() for each in told}

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Listen while the block runs; then every connection is cut."""
        runner = web.AppRunner(web.Application(), shutdown_timeout=1.0)
        runner.app.router.add_post("/hook", self._receive)
        await runner.setup()
        if self.socket.fileno() < 0:
            self.socket = socket.create_server(("127.0.0.1", self.port))
        await web.SockSite(runner, self.socket).start()
        try:
            yield
        finally:
            self.let_go.set()
            await runner.cleanup()
            self.socket.close()


async def test_every_event_arrives_whatever_dies_on_either_side(hub: Installation) -> None:
    """The receiver fails, asks for patience, hangs and is gone; the worker, which makes and sends
    the deliveries, is killed with one under way. Nothing is lost, and what comes twice has one id.
    """
    receiver = Receiver()
    hub.configure(SETTINGS.format(port=receiver.port, secret=SECRET))
    async with receiver.up():
        await hub.start()
        await cursor(hub)
        tasks = [await hub.post(payload={"seconds": 0}) for _ in range(4)]
        async with asyncio.timeout(30):
            await receiver.held.wait()
        await hub.kill("tree/worker-1")
        await until(lambda: len(receiver.seen()) == len(tasks), 30, "something was lost")
    tasks += [await hub.post(payload={"seconds": 0}) for _ in range(3)]
    tasks.append(await hub.post(type="fail", payload={"times": 9}, maxAttempts=1))
    await hub.post(type="transform", payload={"value": "x"})
    await until(lambda: "it cannot be reached" in hub.output(), 30)
    async with receiver.up():
        await until(lambda: len(receiver.seen()) == len(tasks), 30, "something was lost")
        made = await deliveries(hub, len(tasks))

    assert receiver.seen() == {task["id"] for task in tasks}
    assert sorted(len({e["seq"] for e in told}) for told in receiver.taken.values()) == [1] * 8
    assert {item["id"] for item in made} == set(receiver.taken)
    assert {item["createdBy"] for item in made} == {"webhook:shop"}
    assert max(item["attempts"] for item in made) > 1
    assert receiver.tries > len(tasks)
    assert SECRET not in hub.output()


async def test_nobody_but_taskhub_makes_a_delivery(hub: Installation) -> None:
    """Else whoever may make tasks could have a lie of theirs signed as an event."""
    receiver = Receiver()
    hub.configure(SETTINGS.format(port=receiver.port, secret=SECRET))
    receiver.socket.close()
    await hub.start()
    forged = {"webhook": "shop", "event": {"type": "TaskDone", "id": "x"}}

    status, problem = await hub.request(
        "POST", "/tasks", {"title": "x", "type": "webhook", "payload": forged}
    )

    assert status == 422
    assert problem["errors"][0]["pointer"] == "/type"


async def cursor(hub: Installation) -> None:
    """Wait until the webhook follows the events."""
    import sqlite3
    from contextlib import closing

    path = hub.folder / "data" / "taskhub.db"

    def follows() -> bool:
        with closing(sqlite3.connect(path, timeout=10)) as reader:
            return bool(reader.execute("SELECT count(*) FROM Webhooks").fetchone()[0])

    await until(follows, 30)


async def deliveries(hub: Installation, count: int) -> list[dict[str, Any]]:
    """The deliveries as an operator sees them, once so many are done."""

    async def look() -> list[dict[str, Any]] | None:
        _, page = await hub.request("GET", "/tasks?type=webhook&limit=200")
        done = [item for item in page["items"] if item["status"] == "Done"]
        return done if len(done) == count == len(page["items"]) else None

    found: list[dict[str, Any]] = await hub.until(look)
    return found
