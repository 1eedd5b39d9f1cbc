"""The examples of external workers, killed, frozen and cut off: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.installation import Installation, Task, installed, token
from tests.style.tree import ROOT
from tests.waiting import until

EXAMPLES = ROOT / "examples" / "workers"
LEASE = "3"
SECONDS = 1.5

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One TaskHub for all of them: each starts workers of its own."""
    async with installed(tmp_path_factory.mktemp("external")) as hub:
        await hub.start()
        yield hub


class Crew:
    """Workers of one language; each is a group of processes."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command, self._folder = command, folder
        self._groups: list[int] = []

    async def hire(self, hub: Installation, lease: str = LEASE) -> int:
        """Start a worker; the id of its process."""
        environ = {
            "TASKHUB_URL": hub.url,
            "TASKHUB_TOKEN": token(subject="mill", scope="tasks.work"),
            "LEASE_SECONDS": lease,
        }
        with self._log(len(self._groups)).open("ab") as out:
            worker = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, **environ},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._groups.append(worker.pid)
        return worker.pid

    def said(self, pid: int) -> str:
        """What a worker has printed."""
        return self._log(self._groups.index(pid)).read_text()

    def dismiss(self) -> None:
        """Leave nothing running, whatever happened."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"


@pytest.fixture(params=["bash", "node", "python"])
def crew(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crew]:
    """Nobody yet."""
    needed = {"bash": ("bash", "curl", "jq", "setpriv"), "node": ("node",)}.get(request.param, ())
    if missing := [program for program in needed if shutil.which(program) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")
    commands = {
        "bash": ["bash", "worker.sh"],
        "node": ["node", "worker.mjs"],
        "python": [sys.executable, "worker.py"],
    }
    program, script = commands[request.param]
    crew = Crew([program, str(EXAMPLES / script)], tmp_path)
    yield crew
    crew.dismiss()


async def in_hand(
    hub: Installation, crew: Crew, lease: str = LEASE, seconds: float = SECONDS
) -> tuple[int, str]:
    """A worker that has begun a task: its process and the task's id."""
    worker = await crew.hire(hub, lease)

    async def is_known() -> Task | None:
        body = {"title": "count", "type": "count-words"}
        payload = {"text": "three short words", "seconds": seconds}
        status, made = await hub.request("POST", "/tasks", {**body, "payload": payload})
        assert status in {201, 422}, made
        return made if status == 201 else None

    made = await hub.until(is_known)
    await hub.started(made["id"])
    return worker, str(made["id"])


async def test_another_one_takes_over_from_a_killed_one(shared: Installation, crew: Crew) -> None:
    """When its lease has run out; what it had begun is renewed by nothing that it left behind."""
    worker, id_ = await in_hand(shared, crew)

    os.kill(worker, signal.SIGKILL)
    await crew.hire(shared)

    done = await shared.ended(id_)
    assert (done["status"], done["attempts"], done["result"]) == ("Done", 2, {"words": 3})


async def test_a_frozen_one_that_comes_back_is_told_that_it_is_too_late(
    shared: Installation, crew: Crew
) -> None:
    """409, and the other one's result stays."""
    worker, id_ = await in_hand(shared, crew)

    os.killpg(worker, signal.SIGSTOP)
    await crew.hire(shared)
    done = await shared.ended(id_)
    os.killpg(worker, signal.SIGCONT)

    assert (done["status"], done["attempts"]) == ("Done", 2)
    await until(lambda: f"{id_} " in crew.said(worker), 30, "it says nothing")
    assert crew.said(worker).split()[-1] == "409"
    assert await shared.ended(id_) == done


async def test_a_cancel_stops_the_work_at_once(shared: Installation, crew: Crew) -> None:
    """The renewal that waits is answered; the next one would be sent in a minute only."""
    worker, id_ = await in_hand(shared, crew, lease="300", seconds=200)

    status, _ = await shared.request("POST", f"/tasks/{id_}/cancel")

    assert status == 202
    assert (await shared.ended(id_))["status"] == "Cancelled"
    await until(lambda: f"{id_} fail 200" in crew.said(worker), 30, "it says nothing")


async def test_a_killed_api_costs_a_worker_nothing(shared: Installation, crew: Crew) -> None:
    """The lease is in the store: the next API process knows it, and the outcome is said to that."""
    worker, id_ = await in_hand(shared, crew)

    await shared.kill("tree/api-1")
    await until(lambda: f"{id_} complete 200" in crew.said(worker), 30, "it says nothing")

    async def answer() -> Task | None:
        status, task = await shared.request("GET", f"/tasks/{id_}")
        return task if status == 200 else None

    done = await shared.until(answer)
    assert (done["status"], done["attempts"]) == ("Done", 1)
