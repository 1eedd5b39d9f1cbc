"""What an operator looks at, looked at: a real Prometheus scrapes, alerts reach a receiver."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import pytest

from tests.acceptance.installation import Installation, free_port
from tests.acceptance.monitoring import Monitoring, alert_names, can_watch, panel_queries, watched
from tests.acceptance.test_trouble import holding
from tests.certificates import make_pair
from tests.style.tree import ROOT
from tests.valkey import ValkeyServer

DEEDS = """
import asyncio, os, time
from taskhub import handler

@handler("freeze", attempts=1)
async def freeze(seconds: float) -> None:
    time.sleep(seconds)

@handler("crash", attempts=1, cpu=True)
def crash() -> None:
    os.kill(os.getpid(), 9)
"""
SETTINGS = """
[events]
url = "{events}"
[store]
lock_timeout = 1
[heartbeat]
every = 1
[limits]
mailbox = 64
backlog = 20
[outbound]
allow = ["127.0.0.0/8"]
webhooks = {{ gone = {{ url = "http://127.0.0.1:{receiver}/gone" }} }}
[work]
{handlers}
"""
UNSEEN = {"TaskHubNotScraped", "TaskHubNoWorker", "TaskHubNoApi"}
UNSEEN |= {"TaskHubHeartbeatMissing", "TaskHubPartsUnknown", "TaskHubNoScheduler"}
REFUSES = """
CREATE TRIGGER Refuses BEFORE INSERT ON Tasks WHEN NEW.Type = 'webhook'
BEGIN SELECT RAISE(ABORT, 'no more of them'); END
"""
ODD_PATHS = 10_000
TRUSTS_ALL = ssl.create_default_context()
TRUSTS_ALL.check_hostname, TRUSTS_ALL.verify_mode = False, ssl.CERT_NONE


class Piped(Installation):
    """Its output goes into a pipe, which nobody reads and which a test may close."""

    def speaks_into(self) -> BinaryIO:
        """The end to write to; the other one stays with us."""
        self.reading, writing = os.pipe()
        return os.fdopen(writing, "wb")

    def hang_up(self) -> None:
        """Nobody will ever read."""
        os.close(self.reading)


class Stage:
    """One installation, what watches it, and the event server that it needs."""

    def __init__(self, hub: Piped, eyes: Monitoring, events: ValkeyServer) -> None:
        self.hub, self.eyes, self.events = hub, eyes, events

    async def start(self) -> None:
        """With a certificate that ends soon."""
        pair = make_pair(self.hub.folder, days=3)
        await self.hub.start(
            environ={
                "Supervisor__Intensity": "1000",
                "Http__TlsCertificate": str(pair),
                "Http__TlsKey": str(pair.with_suffix(".key")),
                "Metrics__Port": str(self.eyes.target),
            }
        )
        self.hub.url = self.hub.url.replace("http:", "https:")

    async def is_scraped(self) -> bool:
        """Whether Prometheus has got an answer, and so knows where counters began."""
        return any(row["value"][1] == "1" for row in await self.eyes.ask("up"))

    async def page(self) -> str:
        """What Prometheus gets, as text."""
        url = f"http://127.0.0.1:{self.eyes.target}/metrics"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return await answer.text()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Everything but the TaskHub is at work."""
    if not can_watch():
        pytest.skip("no prometheus, or no prometheus-alertmanager")
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=200, ssl=False)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        hub = Piped(tmp_path, http)
        stack.push_async_callback(hub.close)
        events = await stack.enter_async_context(ValkeyServer(tmp_path))
        (tmp_path / "watch").mkdir()
        eyes = await stack.enter_async_context(watched(tmp_path / "watch"))
        url, receiver = events.url.replace("unix", "unix+streams", 1), eyes.ports["receiver"]
        handlers = hub.handlers(DEEDS)
        hub.configure(SETTINGS.format(events=url, receiver=receiver, handlers=handlers))
        yield Stage(hub, eyes, events)


async def test_what_is_told_is_scraped_and_every_alert_fires(stage: Stage) -> None:
    """From the process that is in trouble to whoever is woken up; each alert for its own reason."""
    await stage.start()
    await odd_paths_add_no_series(stage)
    await stage.eyes.until_fired(*UNSEEN)
    await stage.hub.until(stage.is_scraped)
    stage.eyes.fired.pop("TaskHubDown", None)  # it had not been started yet
    await demo(stage)
    await every_panel_has_something_to_show(stage)
    await series_are_as_the_page_says(stage)
    await a_bug(stage)
    await what_is_due_in_trouble(stage)
    await workers_in_trouble(stage)
    await the_world_in_trouble(stage)
    await a_database_in_trouble(stage)
    await the_end(stage)

    assert set(stage.eyes.fired) == alert_names()
    for name, alert in stage.eyes.fired.items():
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert "<no value>" not in alert["annotations"]["summary"], name
        assert "{{" not in alert["annotations"]["summary"], name
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


async def demo(stage: Stage) -> None:
    """Tasks that succeed, that fail for good, and that call a host which is not there."""
    nowhere = {"url": f"http://127.0.0.1:{free_port()}/", "method": "POST"}
    bodies: list[dict[str, Any]] = [
        *({"payload": {"seconds": 0}} for _ in range(5)),
        *({"type": "fail", "maxAttempts": 1} for _ in range(5)),
        *({"type": "http", "payload": nowhere, "maxAttempts": 1} for _ in range(5)),
    ]
    made = [await stage.hub.post(**body) for body in bodies]
    await stage.hub.all_ended(task["id"] for task in made)
    await stage.eyes.until_fired(
        *("TaskHubTasksFailed", "TaskHubFailureRatio"),
        *("TaskHubHostAvoided", "TaskHubCertificateEnds"),
    )


async def every_panel_has_something_to_show(stage: Stage) -> None:
    """A query that gives nothing on a day on which there was something of everything is wrong."""
    await stage.hub.request("POST", "/queues/idle/pause")
    await stage.hub.post(queue="idle")
    running = await stage.hub.post(payload={"seconds": 5})
    await stage.hub.started(running["id"])
    empty = set(panel_queries())
    assert len(empty) > 50

    async def look() -> bool:
        for place in sorted(empty):
            if await stage.eyes.ask(panel_queries()[place]):
                empty.discard(place)
        return not empty

    try:
        async with asyncio.timeout(5):
            await stage.hub.until(look)
    except TimeoutError:
        raise AssertionError(f"nothing to show: {empty}") from None


async def series_are_as_the_page_says(stage: Stage) -> None:
    """Every metric of docs/metrics.md is scraped, and every scraped one stands there."""
    documented = set(
        re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    )
    scraped = set(re.findall(r"^# HELP (\w+)", await stage.page(), re.MULTILINE))
    told = await stage.eyes.ask('{unit!="", __name__!~"ALERTS.*"}')
    requests = await stage.eyes.exemplars("taskhub_http_request_duration_seconds_bucket")
    attempts = await stage.eyes.exemplars("taskhub_worker_task_duration_seconds_bucket")

    assert scraped == documented
    assert {name for labels in requests for name in labels} == {"request_id"}
    assert {name for labels in attempts for name in labels} == {"task_id"}
    assert {series["metric"]["unit"] for series in told} == {"tree", "api-1", "worker-1"}


async def odd_paths_add_no_series(stage: Stage) -> None:
    """Whoever tries 10,000 addresses must not fill anybody's Prometheus."""
    await knock(stage, 1)
    await stage.hub.until(lambda: unrouted(stage, 1))
    before = series(await stage.page())
    await asyncio.gather(*(knock(stage, ODD_PATHS // 4) for _ in range(4)))

    await stage.hub.until(lambda: unrouted(stage, ODD_PATHS))
    assert series(await stage.page()) - before == set()


async def knock(stage: Stage, times: int) -> None:
    """Ask for so many paths that there are not, one behind the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.hub.port, ssl=TRUSTS_ALL)
    ask = "GET /odd/{}-{} HTTP/1.1\r\nHost: x\r\nConnection: {}\r\n\r\n"
    for number in range(times):
        last = number == times - 1
        writer.write(ask.format(id(writer), number, "close" if last else "keep-alive").encode())
    answers = await reader.read()
    while more := await reader.read():
        answers += more
    writer.close()
    assert answers.count(b"HTTP/1.1 404 ") == times


async def unrouted(stage: Stage, least: int) -> bool:
    """Whether so many requests without a route are counted."""
    counts = re.findall(
        r'^taskhub_http_request_duration_seconds_count\{.*route="",status="404".*\} (\S+)',
        await stage.page(),
        re.MULTILINE,
    )
    return sum(map(float, counts)) >= least


def series(page: str) -> set[str]:
    """Names and labels of what requests are counted by."""
    lines = [line for line in page.splitlines() if line.startswith("taskhub_http_")]
    return {line.rpartition(" ")[0] for line in lines}


async def what_is_due_in_trouble(stage: Stage) -> None:
    """Schedules that nobody can read and that were missed; a webhook whose deliveries go nowhere.

    One that was left behind for an hour, and a store that refuses, are written by hand.
    """
    hub = stage.hub
    for name in ("missed", "broken"):
        schedule = {"name": name, "cron": "@hourly", "type": "simulate"}
        assert (await hub.request("POST", "/schedules", schedule))[0] == 201
    with closing(sqlite3.connect(hub.folder / "data/taskhub.db")) as database, database:
        database.execute("UPDATE Schedules SET NextAt = NextAt - 7200000000")
        database.execute("UPDATE Schedules SET TimeZone = 'No/Where' WHERE Name = 'broken'")
        database.execute(REFUSES)
    crash = await hub.post(type="crash")
    await hub.ended(crash["id"])
    ended = [await hub.post(payload={"seconds": 0}) for _ in range(3)]
    await hub.all_ended(task["id"] for task in ended)
    with closing(sqlite3.connect(hub.folder / "data/taskhub.db")) as database, database:
        database.execute("DELETE FROM Events WHERE Seq < (SELECT max(Seq) FROM Events)")
    await stage.eyes.until_fired(
        *("TaskHubScheduleBroken", "TaskHubScheduleMissed", "TaskHubScheduleOverdue"),
        *("TaskHubProcessorsDying", "TaskHubWebhookBehind", "TaskHubWebhookMissed"),
    )
    with closing(sqlite3.connect(hub.folder / "data/taskhub.db")) as database, database:
        database.execute("DROP TRIGGER Refuses")
    await stage.eyes.until_fired("TaskHubDeliveriesFail", "TaskHubDeliveryGivenUp")


async def workers_in_trouble(stage: Stage) -> None:
    """A handler that stops the loop, few descriptors, a worker that dies and does not come back."""
    hub, deeds = stage.hub, stage.hub.folder / "deeds.py"
    frozen = await hub.post(type="freeze", payload={"seconds": 2})
    await hub.ended(frozen["id"])
    pid = await hub.until(lambda: hub.pid("tree/worker-1"))
    few = len(list(Path(f"/proc/{pid}/fd").iterdir())) * 100 // 85 + 1
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, usual[1]))
    await stage.eyes.until_fired("TaskHubLoopBlocked", "TaskHubDescriptorsLow")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)

    running = await hub.post(payload={"seconds": 60})
    await hub.started(running["id"])
    deeds.write_text("not Python")
    await hub.kill("tree/worker-1")
    await asyncio.gather(*(hub.post() for _ in range(18)))
    await stage.eyes.until_fired(
        *("TaskHubActorDown", "TaskHubRestarting", "TaskHubWorkersDying", "TaskHubQueueOld"),
        "TaskHubBacklogNear",
    )


async def the_world_in_trouble(stage: Stage) -> None:
    """A configuration that is wrong, an event server that is gone."""
    good = stage.hub.config.read_text()
    stage.hub.config.write_text("[heartbeat]\nevery = never\n")
    stage.hub.send(signal.SIGHUP)
    await stage.events.kill()
    await stage.eyes.until_fired("TaskHubReloadRefused", "TaskHubEventsAway")
    stage.hub.config.write_text(good)
    await stage.events.start()


async def a_database_in_trouble(stage: Stage) -> None:
    """Another program holds it: for a moment, and then for so long that clients hear of it."""
    database = stage.hub.folder / "data/taskhub.db"
    with holding(database):
        waiting = asyncio.create_task(stage.hub.request("POST", "/tasks", {"title": "x"}))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
    await waiting
    await stage.eyes.until_fired("TaskHubCommitsSlow")
    with holding(database):
        refused = await asyncio.gather(
            *(stage.hub.request("POST", "/tasks", {"title": "x"}) for _ in range(200))
        )
        await stage.eyes.until_fired(
            *("TaskHubStoreFailing", "TaskHubErrors", "TaskHubMailboxFull", "TaskHubHeartbeatOld")
        )
    assert {status for status, _ in refused} == {503}


async def a_bug(stage: Stage) -> None:
    """A row that no version of ours would write stands for one."""
    task = await stage.hub.post(payload={"seconds": 0})
    await stage.hub.ended(task["id"])
    with closing(sqlite3.connect(stage.hub.folder / "data/taskhub.db")) as database, database:
        database.execute("UPDATE Tasks SET CreatedAt = 'no time' WHERE Id = ?", (task["id"],))
    status, _ = await stage.hub.request("GET", f"/tasks/{task['id']}")
    await stage.eyes.until_fired("TaskHubCrashes")
    assert status == 500


async def the_end(stage: Stage) -> None:
    """Nobody reads the log any more, and then there is nobody."""
    stage.hub.hang_up()
    await stage.hub.post()
    await stage.eyes.until_fired("TaskHubLogLinesDropped")
    await stage.hub.stop()
    await stage.eyes.until_fired("TaskHubDown")
