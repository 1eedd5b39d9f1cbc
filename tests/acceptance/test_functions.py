"""What deploy/azure/ starts, and its functions with fake triggers; Azure itself is not here."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.acceptance.installation import PATIENCE, Installation, free_port, separate, token
from tests.valkey import ValkeyServer

AZURE = Path(__file__).parents[2] / "deploy/azure"
APP = AZURE / "function_app.py"
HANDLERS = """
from taskhub import Fail, Job, handler

@handler("resize", queue="images")
async def resize(job: Job, url: str, width: int = 640) -> dict:
    return {"url": url, "width": width, "attempt": job.attempt}

@handler("broken")
def broken() -> None:
    raise Fail("no such image")
"""


class App:
    """As far as `azure.functions.FunctionApp` is used: each trigger leaves its function alone."""

    def __init__(self) -> None:
        self.triggers: dict[str, dict[str, str]] = {}

    def __getattr__(self, trigger: str) -> Callable[..., Any]:
        def decorator(**settings: str) -> Callable[[Any], Any]:
            self.triggers[trigger] = settings
            return lambda function: function

        return decorator


class Message:
    """A message of the topic, or an event of Event Grid."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get_body(self) -> bytes:
        """As `ServiceBusMessage`."""
        return self._value if isinstance(self._value, bytes) else json.dumps(self._value).encode()

    def get_json(self) -> Any:
        """As `EventGridEvent`."""
        return self._value


def imported(hub: Installation, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The function app as its host imports it."""
    fake = ModuleType("azure.functions")
    for name, value in {
        "FunctionApp": App, "ServiceBusMessage": Message, "EventGridEvent": Message,
        "TimerRequest": object,
    }.items():  # fmt: skip
        setattr(fake, name, value)
    monkeypatch.setitem(sys.modules, "azure", ModuleType("azure"))
    monkeypatch.setitem(sys.modules, "azure.functions", fake)
    monkeypatch.setattr(sys.modules["azure"], "functions", fake, raising=False)
    monkeypatch.syspath_prepend(str(hub.folder))
    (hub.folder / "azure_deeds.py").write_text(HANDLERS)
    monkeypatch.setenv("TASKHUB_URL", hub.url)
    monkeypatch.setenv("TASKHUB_TOKEN", token(scope="tasks.work"))
    monkeypatch.setenv("TASKHUB_HANDLERS", "azure_deeds")
    spec = importlib.util.spec_from_file_location("function_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_messages_ring_and_handlers_do_the_tasks(
    hub: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Service Bus, by Event Grid, by the clock; what is lost or doubled changes nothing."""
    await hub.start()
    app = imported(hub, monkeypatch)
    assert set(app.app.triggers) == {
        "service_bus_topic_trigger", "event_grid_trigger", "timer_trigger",
    }  # fmt: skip
    await app.due(None)  # makes the types known

    task = await hub.post(type="resize", payload={"url": "a.png"})
    event = {"type": "TaskCreated", "id": task["id"], "title": "x", "at": "2030-01-01T00:00:00Z"}
    for value in (b"\xff no event", [1], {"type": "TaskDone"}):
        await app.rang(Message(value))
    assert (await hub.request("GET", f"/tasks/{task['id']}"))[1]["status"] == "Pending"
    await app.rang(Message(event))
    await app.rang(Message(event))

    done = await hub.ended(task["id"])
    assert (done["status"], done["attempts"]) == ("Done", 1)
    assert done["result"] == {"url": "a.png", "width": 640, "attempt": 1}
    bad = await hub.post(type="broken")
    await app.told(Message(event))
    failed = await hub.ended(bad["id"])
    assert (failed["status"], failed["error"]) == ("Failed", "no such image")


async def started(hub: Installation, script: str, **environ: str) -> asyncio.subprocess.Process:
    """A script of deploy/azure, as the platform starts it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    config = {"TASKHUB_CONFIG": str(hub.config), "PATH": path, "TMPDIR": str(hub.folder)}
    return await asyncio.create_subprocess_exec(
        str(AZURE / script),
        cwd=hub.folder,
        env={**os.environ, **config, **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def until_ready(process: asyncio.subprocess.Process) -> None:
    """It says so on stdout, one JSON object a line."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            if json.loads(line)["@m"] == "everything is ready":
                return
    raise AssertionError("it has ended")


async def test_the_api_of_an_app_service_and_the_worker_of_a_webjob(
    hub: Installation, tmp_path: Path
) -> None:
    """PORT decides where the API listens; the file of WebJobs ends the worker, which drains."""
    port, end = free_port(), tmp_path / "shutdown"
    async with ValkeyServer(tmp_path) as valkey:
        hub.configure(separate(tmp_path, valkey.url))
        api = await started(hub, "startup.sh", PORT=str(port))
        await until_ready(api)
        worker = await started(hub, "webjob/run.sh", WEBJOBS_SHUTDOWN_FILE=str(end))
        await until_ready(worker)
        hub.url = f"http://127.0.0.1:{port}"
        task = await hub.post()
        done = await hub.ended(task["id"])
        end.touch()
        api.terminate()
        async with asyncio.timeout(PATIENCE):
            codes = [
                (await process.communicate(), process.returncode)[1] for process in (worker, api)
            ]

    assert done["status"] == "Done"
    assert codes == [0, 0]
