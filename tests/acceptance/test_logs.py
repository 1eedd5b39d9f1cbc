"""The log of a whole installation: louder while it runs, and a full disk that stops nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import Installation
from tests.acceptance.test_reload import log_as


async def test_one_actor_is_listened_to_while_it_runs(hub: Installation) -> None:
    """Its debug lines come, also after its process was born anew, until a reload."""
    await hub.start()
    words = ("actors", "loglevel", "api", "debug")
    assert (await taskhub(*words, folder=hub.folder)).code == 0
    await hub.request("GET", "/tasks")
    await hub.until(lambda: _is_told(hub, "RequestServed", 1))
    shown = (await taskhub("actors", folder=hub.folder)).out
    rows = {line.split()[0]: line for line in shown.splitlines()}
    assert (" debug" in rows["api-1/api"], " debug" in rows["worker-1/pool"]) == (True, False)

    await hub.kill("tree/api-1")
    await hub.until(lambda: _asked(hub))
    await hub.until(lambda: _is_told(hub, "RequestServed", 2))

    answer = await hub.ask("reload")
    assert answer["changes"] == ["log_levels.api: debug -> (none) (in-place)"]
    served = len(hub.told("RequestServed"))
    await hub.post()
    await hub.until(lambda: _is_told(hub, "TaskCreated", 1))
    assert len(hub.told("RequestServed")) == served


async def _is_told(hub: Installation, event: str, times: int) -> bool:
    return len(hub.told(event)) >= times


async def _asked(hub: Installation) -> bool:
    return (await hub.request("GET", "/tasks"))[0] == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_a_full_disk_stops_nothing_and_what_was_lost_is_told(
    hub: Installation, small_disk: Path
) -> None:
    """Tasks are taken and done; a reload moves the log to where there is room."""
    handlers = hub.handlers(
        "from taskhub import Job, handler\n"
        "@handler('talk')\n"
        "def talk(job: Job) -> None:\n"
        "    for number in range(2_000):\n"
        "        job.log.info('x' * 900, Number=number)\n"
    )
    hub.configure(f"[work]\n{handlers}\n")
    log_as(hub, f"directory = '{small_disk}'")
    (small_disk / "stuffing").write_bytes(b"x" * 1_000_000)
    await hub.start()
    for _ in range(5):  # two megabytes each: past what waits in the queue
        done = await hub.ended((await hub.post(type="talk"))["id"])
        assert done["status"] == "Done"
    await hub.until(lambda: _dropped(hub))

    (hub.folder / "logs").mkdir()
    text = hub.config.read_text().replace(str(small_disk), str(hub.folder / "logs"))
    hub.config.write_text(text)
    assert (await hub.ask("reload"))["problems"] == []

    await hub.until(lambda: _lost(hub.folder / "logs"))
    assert await _lost(hub.folder / "logs") == await _dropped(hub)


async def _dropped(hub: Installation) -> float:
    """How many lines the worker has lost, as its metrics say."""
    text = (await hub.ask("metrics", "worker-1"))["body"].decode()
    found = [line for line in text.splitlines() if line.startswith("taskhub_log_lines_dropped_to")]
    return float(found[0].split()[-1])


async def _lost(folder: Path) -> int:
    """How many lines the worker's log says were lost."""
    lines = [line for path in folder.glob("worker*.log") for line in path.read_text().splitlines()]
    return sum(json.loads(line)["Count"] for line in lines if '"@i":"LinesDropped"' in line)
