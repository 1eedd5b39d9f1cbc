"""Handlers that compute in processes of their own, and types whose code the API does not have."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.acceptance.installation import Installation, Task, installed, separate
from tests.valkey import ValkeyServer
from tests.waiting import until

GRIND = """
import os
from pathlib import Path
from taskhub import handler

@handler("grind", cpu=True)
def grind(place: str, until: str = "", text: str = "") -> int:
    Path(place).write_text(str(os.getpid()))
    while until and not Path(until).exists():
        sum(range(10_000))
    return os.getpid()

@handler("calm")
async def calm() -> int:
    return os.getpid()
"""
CROP = """
from typing import Annotated
import msgspec
from taskhub import handler

class Crop(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    left_edge: Annotated[int, msgspec.Meta(ge=0)]
    width: int

@handler("crop", queue="images")
def crop(payload: Crop) -> int:
    return payload.width
"""


class Bench:
    """Tasks that compute until a file is there; each tells the id of its process."""

    def __init__(self, hub: Installation) -> None:
        self._hub, self.end = hub, hub.folder / "end"
        self._places: dict[str, Path] = {}

    async def grind(self, name: str, **more: Any) -> Task:
        """A new task that has begun."""
        place = self._places[name] = self._hub.folder / name
        payload = {"place": str(place), "until": str(self.end)}
        task = await self._hub.post(type="grind", payload=payload, **more)
        await until(lambda: place.exists() and place.read_text(), 30, "it does not begin")
        return task

    def process(self, name: str) -> int:
        """The process that does it."""
        return int(self._places[name].read_text())

    def is_alive(self, name: str) -> bool:
        """Whether that process still lives."""
        return Path(f"/proc/{self.process(name)}").exists()


async def test_only_the_process_of_a_task_that_is_stopped_is_killed(hub: Installation) -> None:
    """Beside the one past its time and the one that is cancelled others go on as if alone."""
    hub.configure(f"[work]\nprocesses = 3\n{hub.handlers(GRIND)}\n")
    await hub.start()
    worker = await hub.pid("tree/worker-1")
    bench = Bench(hub)
    late = await bench.grind("late", timeoutSeconds=0.5, maxAttempts=1)
    beside = await bench.grind("beside")
    unwanted = await bench.grind("unwanted")
    assert len({bench.process(name) for name in ("late", "beside", "unwanted")}) == 3

    status, _ = await hub.request("POST", f"/tasks/{unwanted['id']}/cancel")
    calm = await hub.ended((await hub.post(type="calm"))["id"])
    cancelled, failed = await hub.all_ended([unwanted["id"], late["id"]])

    assert (status, cancelled["status"]) == (202, "Cancelled")
    assert (failed["status"], failed["error"][:9]) == ("Failed", "timed out")
    assert not bench.is_alive("late")
    assert not bench.is_alive("unwanted")
    bench.end.touch()
    done = await hub.ended(beside["id"])
    assert (done["status"], done["attempts"]) == ("Done", 1)
    assert done["result"] == bench.process("beside")
    assert (calm["result"], calm["attempts"]) == (worker, 1)
    assert await hub.pid("tree/worker-1") == worker


async def test_tasks_that_compute_leave_nothing_in_the_memory_of_their_worker(
    hub: Installation,
) -> None:
    """Their payloads go to a child and their results come from it; the worker keeps neither."""
    hub.configure(f"[work]\nprocesses = 2\n{hub.handlers(GRIND)}\n")
    await hub.start()
    worker = await hub.pid("tree/worker-1")
    assert worker is not None
    place = str(hub.folder / "any")

    async def some(count: int) -> int:
        body = {"title": "x", "type": "grind", "payload": {"place": place, "text": "x" * 9_000}}
        status, made = await hub.request("POST", "/tasks/batch", {"tasks": [body] * count})
        assert status == 201, made
        await hub.until(is_idle)
        return resident(worker)

    async def is_idle() -> bool:
        return (await hub.request("GET", "/queues"))[1] == {"items": []}

    before = [await some(100) for _ in range(3)][-1]
    after = [await some(100) for _ in range(6)][-1]

    assert after - before < 3_000_000  # of 5.4 MB in payloads
    last = (await hub.request("GET", "/tasks?limit=1"))[1]["items"][0]
    assert last["status"] == "Done"
    assert last["result"] != worker


def resident(pid: int) -> int:
    """Bytes of memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_an_api_without_the_code_keeps_to_the_types_that_workers_have_registered(
    tmp_path: Path,
) -> None:
    """The schemas are in the store: what is wrong is named, member by member; also without them."""
    api_folder, worker_folder = tmp_path / "api", tmp_path / "worker"
    api_folder.mkdir()
    worker_folder.mkdir()
    wrong = {"leftEdge": -1, "width": "wide", "height": 4}
    async with (
        ValkeyServer(tmp_path) as valkey,
        installed(api_folder) as api,
        installed(worker_folder) as worker,
    ):
        api.configure(separate(tmp_path, valkey.url))
        worker.configure(separate(tmp_path, valkey.url, worker.handlers(CROP)))
        await api.start("api")
        before = await crop(api, {"leftEdge": 0, "width": 4})
        await worker.start("worker")
        await api.until(lambda: knows_crop(api))
        refused = await crop(api, wrong)
        done = await api.ended((await crop(api, {"leftEdge": 0, "width": 4}))[1]["id"])
        await worker.stop()
        later = await asyncio.gather(crop(api, wrong), crop(api, {"leftEdge": 1, "width": 2}))
        _, shown = await api.request("GET", "/types/crop")

    assert (before[0], [each["pointer"] for each in before[1]["errors"]]) == (422, ["/type"])
    pointers = {each["pointer"] for each in refused[1]["errors"]}
    assert (refused[0], pointers) == (422, {"/payload", "/payload/leftEdge", "/payload/width"})
    assert (done["status"], done["result"], done["queue"]) == ("Done", 4, "images")
    assert [status for status, _ in later] == [422, 201]
    assert shown["payloadSchema"]["required"] == ["leftEdge", "width"]
    assert shown["external"] is False


async def knows_crop(api: Installation) -> bool:
    """Whether the API shows the type: then it takes it. The bell that tells it may come later."""
    return (await api.request("GET", "/types/crop"))[0] == 200


async def crop(api: Installation, payload: Task) -> tuple[int, Task]:
    """A new task of the type that only the worker has code for."""
    return await api.request("POST", "/tasks", {"title": "x", "type": "crop", "payload": payload})
