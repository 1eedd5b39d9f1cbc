"""The `api` actor: ready when it answers, ends in peace, comes back on the same socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from taskhub.actors.api import Api
from taskhub.http.server import serving
from taskhub.kernel.actor import ChildSpec, Context, RestartLimit
from taskhub.kernel.mailbox import Mailbox
from taskhub.kernel.supervisor import Supervisor
from taskhub.messages import Put

from tests.unit.http.conftest import empty_database as empty_database  # noqa: PLC0414 - a fixture
from tests.unit.http.house import CONFIG, House, running_store
from tests.waiting import until


@pytest.fixture
async def closed_house(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """All that the API needs, and nobody who serves it yet."""
    box: Mailbox[Put] = Mailbox("store", 64)
    async with running_store(tmp_path / "tasks.db", empty_database, box) as store:
        house = House(store, CONFIG, box)
        yield house
        await house.client.close()
        house.sock.close()


def api(house: House) -> Api:
    """The actor on the house's socket."""
    return Api(lambda: serving(house.context, house.sock))


@asynccontextmanager
async def running(actor: Api) -> AsyncIterator[tuple[Context, asyncio.Task[None]]]:
    """The actor at work; it has ended with the block."""
    ctx = Context("api")
    task = asyncio.ensure_future(actor.run(ctx))
    try:
        await ctx.is_ready.wait()
        yield ctx, task
    finally:
        ctx.stopping.set()
        await task


async def test_it_is_ready_when_it_answers(closed_house: House) -> None:
    """Not before: what waits for it may send a request at once."""
    async with running(api(closed_house)):
        reply = await closed_house.ask("GET", "/health")

    assert reply.body == b"ok"


async def test_requests_in_flight_end_before_it_does(closed_house: House) -> None:
    """A stop takes nobody's answer away; the answer says that the line ends."""
    house, held = closed_house, Mailbox[Put]("store", 8)
    house.context.store_box = held

    async with running(api(house)) as (ctx, task):
        asked = asyncio.ensure_future(house.ask("POST", "/tasks", json={"title": "x"}))
        (put,) = await held.take()
        ctx.stopping.set()
        await until(lambda: not accepts(house) or task.done())
        assert not task.done()
        put.answer(await house.put(*put.writes))
        reply = await asked

    assert (reply.status, reply.headers["Connection"]) == (201, "close")


def accepts(house: House) -> bool:
    """Whether the server still takes clients: its listener hears of them at once."""
    return house.context.waiters._closed is False


async def test_a_kept_connection_gets_an_answer_during_the_stop(closed_house: House) -> None:
    """No request fails that was sent on a line which we still hold."""
    house = closed_house
    async with running(api(house)) as (ctx, _):
        assert (await house.ask("GET", "/health")).headers.get("Connection") is None
        ctx.stopping.set()
        await until(lambda: not accepts(house))
        last = await house.ask("GET", "/health")

    assert (last.status, last.headers["Connection"]) == (200, "close")


async def test_who_waits_for_a_task_is_sent_home_by_a_stop(closed_house: House) -> None:
    """At once, with the task as it is: a stop waits for no long poll."""
    house = closed_house
    async with running(api(house)) as (ctx, _):
        made = await house.create()
        waiting = asyncio.ensure_future(house.ask("GET", f"/tasks/{made['id']}?wait=60"))
        await until(lambda: house.context.waiters._count == 1)
        ctx.stopping.set()
        reply = await waiting

    assert (reply.status, reply.json["status"]) == (200, "Pending")


async def test_it_comes_back_on_the_same_socket(closed_house: House) -> None:
    """Clients that knock in between are answered by the next one; waiting works again."""
    house = closed_house
    async with running(api(house)):
        first = await house.create()
    await house.client.close()
    house.client = aiohttp.ClientSession(
        f"http://127.0.0.1:{house.port}", headers=house.client.headers
    )
    knock = asyncio.ensure_future(house.ask("GET", f"/tasks/{first['id']}?wait=0.3"))

    async with running(api(house)):
        reply = await knock

    assert (reply.status, reply.json["status"]) == (200, "Pending")


async def test_a_supervisor_restarts_it(closed_house: House) -> None:
    """By name, as an operator or a reload does; the port is never closed."""
    house = closed_house
    supervisor = Supervisor([ChildSpec("api", lambda: api(house))], RestartLimit(intensity=1))
    ctx = Context("unit")
    task = asyncio.ensure_future(supervisor.run(ctx))
    await ctx.is_ready.wait()

    await supervisor.restart("api")
    reply = await house.ask("GET", "/health")
    await house.client.close()
    ctx.stopping.set()
    await task

    assert reply.status == 200


async def test_its_cancellation_waits_for_nobody(closed_house: House) -> None:
    """When the time for a stop is over, a request that hangs is left behind."""
    house, held = closed_house, Mailbox[Put]("store", 8)
    house.context.store_box = held
    ctx = Context("api")
    task = asyncio.ensure_future(api(house).run(ctx))
    await ctx.is_ready.wait()
    asked = asyncio.ensure_future(house.ask("POST", "/tasks", json={"title": "x"}))
    (put,) = await held.take()

    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5.0)

    assert done == {task}
    assert task.cancelled()
    put.answer(await house.put(*put.writes))
    await asyncio.wait([asked])
    assert asked.exception() is None or isinstance(asked.exception(), aiohttp.ClientError)


async def test_a_bug_behind_it_is_its_crash(
    closed_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks after deadlines and types may not die unseen: the supervisor hears of it."""
    house = closed_house
    monkeypatch.setattr("taskhub.http.catalog.FRESH", 0.01)
    ctx = Context("api")
    task = asyncio.ensure_future(api(house).run(ctx))
    await ctx.is_ready.wait()

    async def broken() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(house.context.types, "look", broken)
    done, _ = await asyncio.wait([task], timeout=10.0)

    assert done == {task}
    error = task.exception()
    assert isinstance(error, ExceptionGroup)
    assert isinstance(error.exceptions[0], KeyError)
