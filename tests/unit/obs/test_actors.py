"""The two actors of observability: one serves, one beats; neither ends for trouble."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from taskhub.actors.heartbeat import LAG_EVERY, Heartbeat, LagClock
from taskhub.actors.metrics import PAUSE, Metrics, from_sockets
from taskhub.audit import Audit
from taskhub.errors import StoreLocked
from taskhub.kernel.actor import Actor, Context
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.mailbox import Mailbox
from taskhub.kernel.pulse import Pulse
from taskhub.messages import Put
from taskhub.obs import telemetry as t
from taskhub.obs.exposition import CLASSIC, OPENMETRICS, nobody
from taskhub.obs.metrics import MetricsListener

from tests.virtual_clock import pass_time
from tests.waiting import Signal, turns


@asynccontextmanager
async def running(actor: Actor) -> AsyncIterator[Context]:
    """An actor at work; it is stopped in the end and must end by itself."""
    ctx = Context("unit/actor")
    task = asyncio.create_task(actor.run(ctx))
    await asyncio.wait(
        [task, ready := asyncio.ensure_future(ctx.is_ready.wait())],
        return_when=asyncio.FIRST_COMPLETED,
    )
    ready.cancel()
    try:
        yield ctx
    finally:
        ctx.stopping.set()
        await task


def everybody(_: object) -> bool:
    """May read the metrics."""
    return True


# ---- metrics ---------------------------------------------------------------------------------


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Where a metrics actor of the unit `tree` serves."""
    said: Signal[t.Telemetry] = Signal()
    own = MetricsListener("tree")
    async with running(Metrics("127.0.0.1", 0, own, nobody, said, admits=everybody)):
        event = await said.next()
        assert isinstance(event, t.Said)
        yield event.text.removeprefix("metrics on ").removesuffix("/metrics")


async def test_metrics_are_served_in_the_classic_form(address: str) -> None:
    """As curl asks for them."""
    async with aiohttp.ClientSession() as client, client.get(f"{address}/metrics") as answer:
        body = await answer.read()

    assert (answer.status, answer.headers["Content-Type"]) == (200, CLASSIC)
    assert b'taskhub_build_info{python="' in body


async def test_metrics_are_served_as_openmetrics_to_who_reads_it(address: str) -> None:
    """As Prometheus asks for them, packed."""
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    async with (
        aiohttp.ClientSession(headers=accept) as client,
        client.get(f"{address}/metrics") as answer,
    ):
        body = await answer.read()

    assert answer.headers["Content-Type"] == OPENMETRICS
    assert answer.headers["Content-Encoding"] == "gzip"
    assert body.endswith(b"# EOF\n")


async def test_one_unit_can_be_scraped_alone(address: str) -> None:
    """With `?unit=`; a name that nobody has is a 404, not an empty page that looks well."""
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{address}/metrics?unit=tree") as answer:
            body = await answer.read()
        async with client.get(f"{address}/metrics?unit=worker-9") as missing:
            pass

    assert (answer.status, missing.status) == (200, 404)
    assert b'taskhub_build_info{python="' in body


async def test_a_scrape_is_measured_itself(address: str) -> None:
    """How long gathering takes is worth knowing before Prometheus gives up on it."""
    own = MetricsListener("tree")
    said: Signal[t.Telemetry] = Signal()
    async with running(Metrics("127.0.0.1", 0, own, nobody, said, admits=everybody)):
        event = await said.next()
        assert isinstance(event, t.Said)
        async with aiohttp.ClientSession() as client:
            await client.get(event.text.removeprefix("metrics on "))

    name = "taskhub_scrape_duration_seconds_count"
    assert own.registry.get_sample_value(name, {"unit": "tree"}) == 1


async def test_health_says_ok(address: str) -> None:
    """For a probe that needs no metrics."""
    async with aiohttp.ClientSession() as client, client.get(f"{address}/health") as answer:
        body = await answer.read()

    assert (answer.status, body) == (200, b"ok")


async def test_metrics_are_not_for_everybody() -> None:
    """An open port is no leave to read; a probe needs none."""
    said: Signal[t.Telemetry] = Signal()
    closed = Metrics("127.0.0.1", 0, MetricsListener("tree"), nobody, said, admits=lambda _: False)
    async with running(closed), aiohttp.ClientSession() as client:
        event = await said.next()
        assert isinstance(event, t.Said)
        url = event.text.removeprefix("metrics on ")
        refused = await client.get(url)
        text = await refused.text()
        probed = await client.get(url.replace("/metrics", "/health"))

    assert (refused.status, probed.status) == (403, 200)
    assert "taskhub" not in text


@pytest.mark.virtual_clock
async def test_a_port_that_is_taken_is_tried_again() -> None:
    """A second TaskHub, or an old one that is just leaving, is no reason to take the tree down."""
    said: Signal[t.Telemetry] = Signal()
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]

    async with running(
        Metrics("127.0.0.1", port, MetricsListener("tree"), nobody, said, admits=everybody)
    ):
        first = await said.next()
        other.close()
        await pass_time(PAUSE)
        second = await said.next()

    assert isinstance(first, t.Complained)
    assert first.text.startswith(f"metrics: port {port}: ")
    assert "address already in use" in first.text  # the rest is asyncio's, and differs by version
    assert second == t.Said(text=f"metrics on http://127.0.0.1:{port}/metrics")


def test_a_worker_that_counts_does_not_load_an_http_server() -> None:
    """It would cost each worker memory and start-up time."""
    names = "taskhub.obs.start, taskhub.obs.metrics, taskhub.obs.exposition, taskhub.obs.kernel"
    program = f"import sys, {names}, taskhub.actors.heartbeat, taskhub.actors.metrics\n"
    program += "print([name for name in sys.modules if name.startswith('aiohttp')])"

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert said.stdout == "[]\n"


def told(name: str, _arguments: dict[str, Any]) -> bytes:
    """What a process answers."""
    return f"of {name}".encode()


@pytest.fixture
async def neighbours(tmp_path: Path) -> AsyncIterator[Path]:
    """A runtime directory with two living processes, ourselves, and one that was killed."""
    pulse, keepers = Pulse(), []
    pulse.start(asyncio.get_running_loop())
    for name in ("api-1", "metrics-1", "worker-1"):
        keeper = Keeper(tmp_path / f"{name}.sock", pulse, quick={"metrics": partial(told, name)})
        keeper.start(asyncio.get_running_loop())
        keepers.append(keeper)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "worker-2.sock"))
    yield tmp_path
    for keeper in keepers:
        keeper.close()
    pulse.stop()


async def test_processes_without_a_common_root_are_found_by_their_sockets(
    neighbours: Path,
) -> None:
    """Roles that run as services of their own are scraped at one port too."""
    bodies = await from_sockets(neighbours, "metrics-1")()

    assert bodies == [b"of api-1", b"of worker-1"]


# ---- heartbeat -------------------------------------------------------------------------------


class Book:
    """A store actor that keeps what it is asked to write, or is in trouble."""

    def __init__(self) -> None:
        """Begin well."""
        self.box: Mailbox[Put] = Mailbox("store")
        self.kept: list[object] = []
        self.in_trouble = False

    async def run(self, _ctx: Context) -> None:
        """Answer until the mailbox is closed."""
        while puts := await self.box.take():
            for put in puts:
                if self.in_trouble:
                    put.fail(StoreLocked())
                else:
                    self.kept += put.writes
                    put.answer(())


@asynccontextmanager
async def beating(every: Callable[[], float]) -> AsyncIterator[tuple[Book, list[t.Telemetry]]]:
    """A heartbeat of worker-1, the book that it writes into, and what it tells."""
    book, told = Book(), list[t.Telemetry]()
    served = asyncio.create_task(book.run(Context("store")))
    async with running(Heartbeat("worker-1", book.box, every, told.append)):
        yield book, told
    book.box.close()
    await served


def beats(told: list[t.Telemetry]) -> int:
    """How many heartbeats were told."""
    return sum(isinstance(event, t.Heartbeat) for event in told)


@pytest.mark.virtual_clock
async def test_a_heartbeat_is_a_row_and_an_event_every_ten_seconds() -> None:
    """First the row is on disk, then the log says so."""
    async with beating(lambda: 10.0) as (book, told):
        await pass_time(60.5)

    assert book.kept == [Audit(message="heartbeat", actor="worker-1")] * 6
    assert beats(told) == 6


@pytest.mark.virtual_clock
async def test_a_store_in_trouble_costs_beats_and_no_crash() -> None:
    """Rows are skipped, not owed; nobody is told of a beat that is not on disk."""
    async with beating(lambda: 10.0) as (book, told):
        book.in_trouble = True
        await pass_time(25)
        during = beats(told)
        book.in_trouble = False
        await pass_time(10)

    assert (during, beats(told), len(book.kept)) == (0, 1, 1)


@pytest.mark.virtual_clock
async def test_an_ill_store_is_tried_each_second_however_rare_the_beats_are() -> None:
    """Where nobody else writes, readiness would stay red for as long as the next beat is away."""
    book, ill = Book(), True
    served = asyncio.create_task(book.run(Context("store")))
    told = list[t.Telemetry]()
    async with running(Heartbeat("api-1", book.box, lambda: 600.0, told.append, lambda: ill)):
        await pass_time(3.5)
        during = beats(told)
        ill = False
        await pass_time(60)
    book.box.close()
    await served

    assert (during, beats(told)) == (3, 3)


@pytest.mark.virtual_clock
async def test_a_closed_mailbox_is_trouble_like_any_other() -> None:
    """While the store restarts or stops, the heartbeat waits."""
    async with beating(lambda: 10.0) as (book, told):
        book.box.close()
        await pass_time(30)

    assert beats(told) == 0


@pytest.mark.virtual_clock
async def test_a_new_period_holds_from_the_next_beat() -> None:
    """A reload changes it in place."""
    every = [10.0]
    async with beating(lambda: every[0]) as (_, told):
        await pass_time(10.5)
        every[0] = 1.0
        await pass_time(12.0)

    assert beats(told) == 4


@pytest.mark.virtual_clock
async def test_the_loops_lateness_is_measured() -> None:
    """Each half second, and it is nearly nothing while nobody blocks."""
    told: list[t.Telemetry] = []
    clock = LagClock(told.append)

    clock.start()
    await pass_time(LAG_EVERY * 4.5)
    clock.stop()
    await pass_time(10)

    assert told == [t.LoopLag(seconds=0.0)] * 4


@pytest.mark.virtual_clock
async def test_a_blocked_loop_is_seen() -> None:
    """What keeps the loop for two seconds makes the timer as much too late."""
    told: list[t.Telemetry] = []
    loop = asyncio.get_running_loop()
    clock = LagClock(told.append)

    clock.start()
    loop._clock.now += LAG_EVERY + 2.0  # type: ignore[attr-defined]
    await turns()
    clock.stop()

    assert told == [t.LoopLag(seconds=2.0)]
