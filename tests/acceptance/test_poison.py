"""Handlers that kill their process: they end as Failed, and nobody else pays for them."""

from __future__ import annotations

from tests.acceptance.installation import Installation

DEEDS = """
import asyncio, os, time
from taskhub import handler

@handler("poison")
async def poison() -> None:
    await asyncio.sleep(0.2)
    os._exit(9)

@handler("calm")
async def calm(seconds: float = 0.0) -> str:
    await asyncio.sleep(seconds)
    return "calm"

@handler("deaf", timeout=1)
def deaf() -> None:
    time.sleep(3600)

@handler("blocking", timeout=1)
async def blocking() -> None:
    time.sleep(3600)
"""


async def test_poison_ends_as_failed_and_neighbours_lose_one_attempt_at_most(
    hub: Installation,
) -> None:
    """Ten poisonous tasks, a tree that stays up, and neighbours that all get done."""
    hub.configure(f"[work]\nlease = 3600\nconcurrency = 8\n{hub.handlers(DEEDS)}\n")
    await hub.start()
    running = await hub.post(type="calm", payload={"seconds": 1})
    await hub.started(running["id"])

    poison = [await hub.post(type="poison", maxAttempts=2) for _ in range(10)]
    waiting = [await hub.post(type="calm", priority=-1) for _ in range(20)]
    ended = await hub.all_ended(task["id"] for task in [*poison, running, *waiting])

    assert [(task["status"], task["attempts"]) for task in ended[:10]] == [("Failed", 2)] * 10
    assert [task["status"] for task in ended[10:]] == ["Done"] * 21
    assert max(task["attempts"] for task in ended[10:]) <= 2
    assert hub.process is not None
    assert hub.process.returncode is None


async def test_a_task_that_had_not_started_loses_no_attempt(hub: Installation) -> None:
    """It was claimed ahead by the worker that died: the ledger says that it never began."""
    hub.configure(f"[work]\nlease = 3600\nconcurrency = 1\n{hub.handlers(DEEDS)}\n")
    await hub.start()

    first = await hub.post(type="poison", maxAttempts=1, priority=1)
    waiting = [await hub.post(type="calm") for _ in range(5)]
    ended = await hub.all_ended(task["id"] for task in [first, *waiting])

    assert ended[0]["status"] == "Failed"
    assert [(task["status"], task["attempts"]) for task in ended[1:]] == [("Done", 1)] * 5


async def test_a_thread_that_ignores_its_timeout_has_its_worker_replaced(
    hub: Installation,
) -> None:
    """Nobody can stop a thread: the worker hands back the rest, ends, and a fresh one goes on."""
    hub.configure(f"[work]\nlease = 3600\n{hub.handlers(DEEDS)}\n")
    await hub.start()

    deaf = await hub.post(type="deaf", maxAttempts=1)
    before = await hub.pid("tree/worker-1")
    assert (await hub.ended(deaf["id"]))["status"] == "Failed"
    after = await hub.post(type="calm")

    assert (await hub.ended(after["id"]))["attempts"] == 1
    assert await hub.pid("tree/worker-1") != before


async def test_a_handler_that_blocks_the_loop_past_its_deadline_is_killed(
    hub: Installation,
) -> None:
    """The loop cannot stop what blocks it: the root sees it and kills the worker."""
    hub.configure(f"[work]\nlease = 3600\n{hub.handlers(DEEDS)}\n")
    await hub.start()

    task = await hub.post(type="blocking", maxAttempts=1)

    assert (await hub.ended(task["id"]))["status"] == "Failed"
    assert await hub.stop() == 0
    (blocked,) = hub.told("LoopBlocked")
    assert (blocked["TaskId"], blocked["Type"]) == (task["id"], "blocking")
    assert [line for line in hub.told("ProcessChanged") if line["What"] == "killed"]
