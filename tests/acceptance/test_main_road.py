"""The main road, on real processes: created over HTTP, told, claimed, done, seen everywhere."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.acceptance.installation import KEY, Installation


async def test_a_task_goes_from_post_to_done(hub: Installation) -> None:
    """The one thing that everything else is for."""
    await hub.start()

    task = await hub.post("Resize images", payload={"seconds": 0})
    done = await hub.ended(task["id"])

    assert (done["status"], done["attempts"]) == ("Done", 1)
    assert done["result"] == {"waited": 0}
    assert await hub.stop() == 0
    assert [line["Id"] for line in hub.told("TaskCreated")] == [task["id"]]
    assert [line["Result"] for line in hub.told("TaskProcessed")] == ["success"]


async def test_a_failing_task_is_retried_and_a_poor_one_ends_as_failed(hub: Installation) -> None:
    """Attempts are counted, errors are kept."""
    await hub.start()

    lucky = await hub.post(type="fail", payload={"times": 1})
    poor = await hub.post(type="fail", payload={"times": 9}, maxAttempts=2)
    found = await hub.all_ended([lucky["id"], poor["id"]])

    assert [(task["status"], task["attempts"]) for task in found] == [("Done", 2), ("Failed", 2)]
    assert "2" in found[1]["error"]


async def test_cancel_reaches_a_running_handler(hub: Installation) -> None:
    """A handler that would run for an hour ends as Cancelled: the bell rings, nobody polls."""
    await hub.start()
    task = await hub.post(payload={"seconds": 3_600})
    await hub.started(task["id"])

    status, _ = await hub.request("POST", f"/tasks/{task['id']}/cancel")

    assert status == 202
    assert (await hub.ended(task["id"]))["status"] == "Cancelled"


async def test_the_metrics_of_every_process_are_behind_the_api(hub: Installation) -> None:
    """One scrape sees the whole tree."""
    await hub.start()
    await hub.ended((await hub.post(payload={"seconds": 0}))["id"])

    status, text = await hub.request("GET", "/metrics")

    assert status == 200
    units = set(re.findall(r'taskhub_build_info\{.*?unit="(.*?)"', text))
    assert units == {"tree", "worker-1", "api-1"}
    assert 'taskhub_worker_tasks_processed_total{result="success",unit="worker-1"} 1.0' in text
    assert 'taskhub_api_tasks_created_total{unit="api-1"} 1.0' in text


async def test_a_worker_never_sees_the_key_of_tokens(hub: Installation) -> None:
    """User code runs there: neither its environment nor its snapshot may hold the secret."""
    await hub.start(environ={"Jwt__IssuerSigningKey": KEY, "Redis__Username": "canary"})

    pid = await hub.pid("tree/worker-1")
    environment = Path(f"/proc/{pid}/environ").read_bytes().lower()
    assert KEY.encode() not in environment
    assert b"jwt__" not in environment
    assert b"canary" not in environment


async def test_sigusr1_writes_what_every_process_does_into_the_log(hub: Installation) -> None:
    """For the moment when nobody understands what is going on."""
    await hub.start()

    hub.send(signal.SIGUSR1)

    units = {"tree", "worker-1", "api-1"}
    await hub.until(lambda: _dumped(hub, units))
    assert await hub.stop() == 0
    texts = [line["@x"] for line in hub.told("StacksDumped") if line["unit"] == "worker-1"]
    assert "worker-1/pool: ready" in texts[0]
    assert "mailbox 0/" in texts[0]
    assert any("_claim_until" in text for text in texts[1:])


async def _dumped(hub: Installation, units: set[str]) -> bool:
    return {line["unit"] for line in hub.told("StacksDumped")} == units
