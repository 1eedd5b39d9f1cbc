"""The pusher at a real Pushgateway: one group, always whole, gone at the end."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.request import urlopen

import aiohttp
import msgspec
import pytest
from taskhub.actors.pusher import Pusher, group
from taskhub.config.sections import MetricsSection
from taskhub.kernel.actor import Context
from taskhub.obs import telemetry as t
from taskhub.obs.exposition import Exposition
from taskhub.obs.metrics import MetricsListener

from tests.acceptance.installation import free_port
from tests.virtual_clock import pass_time
from tests.waiting import Signal, until

GATEWAY = shutil.which("prometheus-pushgateway")
OFTEN = 0.05
AWAY = MetricsSection(push_url="http://127.0.0.1:9", push_every=15)
needs_gateway = pytest.mark.skipif(GATEWAY is None, reason="no prometheus-pushgateway here")


@asynccontextmanager
async def gateway() -> AsyncIterator[str]:
    """A Pushgateway of Debian's package; its address."""
    assert GATEWAY is not None
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        GATEWAY, f"--web.listen-address={address}", stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        await looked(f"http://{address}", "pushgateway_build_info")
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


def page(url: str) -> str:
    """What the gateway shows; nothing before it listens."""
    try:
        with urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - ours
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


async def looked(url: str, wanted: str, *, there: bool = True) -> str:
    """The page once `wanted` stands in it, or does not any more."""
    pages = [""]

    def is_so() -> bool:
        pages[0] = page(url)
        return bool(pages[0]) and (wanted in pages[0]) is there

    await until(is_so, what=f"{wanted} at the gateway: still not {there}")
    return pages[0]


class Stage:
    """A pusher at work, whose section a test may change."""

    def __init__(self, section: MetricsSection) -> None:
        self.section = section
        self.told: Signal[t.Telemetry] = Signal()
        self.own = MetricsListener("tree")
        self.ctx = Context("tree/pusher")

    def pushes(self, result: str) -> float:
        """How many have ended so."""
        labels = {"unit": "tree", "result": result}
        return self.own.registry.get_sample_value("taskhub_metrics_pushes_total", labels) or 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until the block ends; then it must end by itself."""
        exposition = Exposition(self.own)
        pusher = Pusher(self.own, exposition, lambda: self.section, self.told)
        task = asyncio.create_task(pusher.run(self.ctx))
        try:
            yield
        finally:
            self.ctx.stopping.set()
            await task


@needs_gateway
async def test_the_metrics_lie_at_the_gateway_while_it_runs_and_are_gone_afterwards() -> None:
    """What nobody renews must not look alive; a group of somebody else stays."""
    async with gateway() as url, aiohttp.ClientSession() as client:
        other = f"{url}/metrics/job/taskhub/instance/other"
        await client.put(other, data=b"theirs 1\n")
        stage = Stage(MetricsSection(push_url=f"{url}/", push_every=OFTEN, push_instance="here 1"))
        async with stage.running():
            lying = await looked(url, 'taskhub_build_info{instance="here 1"')
        left = await looked(url, 'instance="here 1"', there=False)

    assert 'unit="tree"' in lying
    assert 'theirs{instance="other",job="taskhub"} 1' in left
    assert stage.pushes("ok") >= 2
    assert stage.pushes("failed") == 0
    assert await stage.told.next() == t.StateChanged(part="pushgateway", state="ok")


@needs_gateway
async def test_a_reload_moves_the_metrics_and_takes_the_old_ones_away() -> None:
    """To another name, and with no address to nowhere."""
    async with gateway() as url:
        stage = Stage(MetricsSection(push_url=url, push_every=OFTEN, push_instance="before"))
        async with stage.running():
            await looked(url, 'instance="before"')
            stage.section = msgspec.structs.replace(stage.section, push_instance="after")
            moved = await looked(url, 'instance="after"')
            stage.section = MetricsSection(push_every=OFTEN)
            await looked(url, 'instance="after"', there=False)

    assert 'instance="before"' not in moved


async def test_a_gateway_that_is_away_is_said_once_and_holds_up_nobody() -> None:
    """Each failure counts; the log has one line until it changes."""
    stage = Stage(msgspec.structs.replace(AWAY, push_every=0.01))
    async with stage.running():
        first = await stage.told.next()
        await until(lambda: stage.pushes("failed") >= 3)

    assert isinstance(first, t.StateChanged)
    assert (first.part, first.state) == ("pushgateway", "degraded")
    assert first.detail.startswith("not reached: ")
    with pytest.raises(TimeoutError):
        await stage.told.next(within=0.01)


@pytest.mark.virtual_clock
async def test_nothing_is_pushed_unless_it_is_asked_for() -> None:
    """Off by default."""
    stage = Stage(MetricsSection())
    async with stage.running():
        await pass_time(100)

    assert (stage.pushes("ok"), stage.pushes("failed")) == (0, 0)


def test_two_on_one_host_do_not_share_a_group() -> None:
    """The one would delete the other's metrics; a name is quoted into its place."""
    first, second = (
        group(MetricsSection(push_url="http://p:9091/x/", port=port)) for port in (9464, 9465)
    )

    assert first != second
    assert first.startswith("http://p:9091/x/metrics/job/taskhub/instance/")
    assert group(MetricsSection(push_url="http://p", push_instance="a b")).endswith("/a%20b")
