"""A killed or frozen worker: its tasks run again, at once or after its death, never beside it."""

from __future__ import annotations

import signal

from tests.acceptance.installation import Installation

LONG_LEASE = "[work]\nlease = 3600\n"


async def test_the_task_of_a_killed_worker_runs_again_long_before_its_lease_ends(
    hub: Installation,
) -> None:
    """The root reaps the worker, so it knows: with a lease of an hour only that can be why."""
    hub.configure(LONG_LEASE)
    await hub.start()
    task = await hub.post(payload={"seconds": 2})
    await hub.started(task["id"])

    killed = await hub.kill("tree/worker-1")
    done = await hub.ended(task["id"])

    assert (done["status"], done["attempts"]) == ("Done", 2)
    assert await hub.pid("tree/worker-1") != killed
    assert await hub.stop() == 0
    assert [line["Requeued"] for line in hub.told("LeasesTaken")] == [1]


async def test_a_frozen_worker_is_killed_before_its_tasks_run_again(hub: Installation) -> None:
    """SIGSTOP: it may wake at any moment, so it must be dead first."""
    hub.configure("[work]\nlease = 3\n")
    await hub.start()
    task = await hub.post(payload={"seconds": 1.5})
    await hub.started(task["id"])

    frozen = await hub.kill("tree/worker-1", signal.SIGSTOP)
    done = await hub.ended(task["id"])

    assert (done["status"], done["attempts"]) == ("Done", 2)
    assert await hub.stop() == 0
    story = [
        (line["@i"], line.get("What"))
        for line in hub.lines()
        if line["@i"] == "LeasesTaken"
        or (line.get("Pid") == frozen and line["@i"] == "ProcessChanged")
    ]
    assert story == [
        ("ProcessChanged", "spawned"),
        ("ProcessChanged", "killed"),
        ("ProcessChanged", "exited"),
        ("LeasesTaken", None),
    ]
