"""SIGTERM and SIGHUP under load: nothing is lost, no attempt is burned, no request fails."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from tests.acceptance.installation import Installation, token


async def test_a_stop_under_load_loses_nothing_and_burns_no_attempt(hub: Installation) -> None:
    """What ran may finish, what waited goes back; after the next start all are done, once each."""
    hub.configure("[work]\nconcurrency = 4\n")
    await hub.start()
    tasks = await asyncio.gather(*(hub.post(payload={"seconds": 0.3}) for _ in range(60)))
    await hub.started(tasks[0]["id"])

    assert await hub.stop() == 0
    await hub.start()
    ended = await hub.all_ended(task["id"] for task in tasks)

    assert [(task["status"], task["attempts"]) for task in ended] == [("Done", 1)] * 60


async def test_a_handler_longer_than_the_grace_goes_back_without_an_attempt(
    hub: Installation,
) -> None:
    """It is stopped when the grace is over, given back, and starts anew with the next process."""
    hub.configure("[work]\nconcurrency = 4\n")
    hub.config.write_text(hub.config.read_text().replace("grace = 15", "grace = 11"))
    await hub.start()
    task = await hub.post(payload={"seconds": 3_600})
    await hub.started(task["id"])

    assert await hub.stop() == 0
    await hub.start()
    again = await hub.started(task["id"])

    assert (again["status"], again["attempts"]) == ("Processing", 1)
    await hub.request("POST", f"/tasks/{task['id']}/cancel")
    assert (await hub.ended(task["id"]))["status"] == "Cancelled"


async def test_reloads_half_of_them_invalid_fail_no_request(hub: Installation) -> None:
    """A hundred SIGHUPs while clients post: good ones apply, bad ones change nothing."""
    hub.configure("[work]\nconcurrency = 8\n")
    await hub.start()
    good, bad = hub.config.read_text(), hub.config.read_text().replace("concurrency", "concurency")
    posting = asyncio.create_task(_post_until_cancelled(hub))

    for turn in range(100):
        text = bad if turn % 2 else good.replace("= 8", f"= {8 + turn}")
        before = len(hub.told("Reloaded")) + len(hub.told("ReloadRefused"))
        hub.config.write_text(text)
        hub.send(signal.SIGHUP)
        await hub.until(lambda before=before: _more(hub, before))
    posting.cancel()
    tasks = await asyncio.gather(posting, return_exceptions=False)

    refused = hub.told("ReloadRefused")
    assert (len(hub.told("Reloaded")), len(refused)) == (50, 50)
    assert "did you mean" in refused[0]["@m"]
    assert {task["status"] for task in await hub.all_ended(tasks[0])} == {"Done"}


async def _more(hub: Installation, before: int) -> bool:
    return len(hub.told("Reloaded")) + len(hub.told("ReloadRefused")) > before


async def _post_until_cancelled(hub: Installation) -> list[str]:
    """Every post must be accepted; the ids."""
    ids: list[str] = []
    try:
        while True:
            ids.append((await hub.post(payload={"seconds": 0}))["id"])
    except asyncio.CancelledError:
        return ids


async def test_no_request_is_cut_off_when_it_stops(hub: Installation) -> None:
    """Each request that was taken is answered, the last one with the news that this was it."""
    await hub.start()
    clients = [Faithful(hub.port) for _ in range(16)]
    load = [asyncio.create_task(client.run()) for client in clients]
    await hub.until(lambda: _all_have(clients, 5))

    assert await hub.stop() == 0
    await asyncio.gather(*load)

    assert sum(client.cut_off for client in clients) == 0
    assert {client.statuses - {201, 503} == set() for client in clients} == {True}
    assert all(client.was_told for client in clients)


async def _all_have(clients: Sequence[Faithful], answers: int) -> bool:
    return all(client.answers >= answers for client in clients)


class Faithful:
    """A client that keeps its connection, posts without a pause, and goes when told to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers, self.cut_off, self.was_told = 0, 0, False
        self.statuses: set[int] = set()

    async def run(self) -> None:
        """Post until nobody listens any more."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:  # refused: nobody was promised anything
                return
            try:
                await self._talk(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                self.cut_off += 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b'{"title":"x","payload":{"seconds":0}}'
        head = (
            f"POST /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.partition(b"Content-Length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            self.answers += 1
            self.statuses.add(int(answer[9:12]))
            if b"\r\nConnection: close\r\n" in answer:
                self.was_told = True
                return
