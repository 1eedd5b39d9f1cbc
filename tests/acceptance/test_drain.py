"""SIGTERM and SIGHUP under load: nothing is lost, no attempt is burned, no request fails."""

from __future__ import annotations

import asyncio
import signal

from tests.acceptance.installation import Installation


async def test_a_stop_under_load_loses_nothing_and_burns_no_attempt(hub: Installation) -> None:
    """What ran may finish, what waited goes back; after the next start all are done, once each."""
    hub.configure("[work]\nconcurrency = 4\n")
    await hub.start()
    tasks = await asyncio.gather(*(hub.post(payload={"seconds": 0.3}) for _ in range(60)))
    await hub.started(tasks[0]["id"])

    assert await hub.stop() == 0
    await hub.start()
    ended = await hub.all_ended(task["id"] for task in tasks)

    assert [(task["status"], task["attempts"]) for task in ended] == [("Done", 1)] * 60


async def test_a_handler_longer_than_the_grace_goes_back_without_an_attempt(
    hub: Installation,
) -> None:
    """It is stopped when the grace is over, given back, and starts anew with the next process."""
    hub.configure("[work]\nconcurrency = 4\n")
    hub.config.write_text(hub.config.read_text().replace("grace = 15", "grace = 11"))
    await hub.start()
    task = await hub.post(payload={"seconds": 3_600})
    await hub.started(task["id"])

    assert await hub.stop() == 0
    await hub.start()
    again = await hub.started(task["id"])

    assert (again["status"], again["attempts"]) == ("Processing", 1)
    await hub.request("POST", f"/tasks/{task['id']}/cancel")
    assert (await hub.ended(task["id"]))["status"] == "Cancelled"


async def test_reloads_half_of_them_invalid_fail_no_request(hub: Installation) -> None:
    """A hundred SIGHUPs while clients post: good ones apply, bad ones change nothing."""
    hub.configure("[work]\nconcurrency = 8\n")
    await hub.start()
    good, bad = hub.config.read_text(), hub.config.read_text().replace("concurrency", "concurency")
    posting = asyncio.create_task(_post_until_cancelled(hub))

    for turn in range(100):
        text = bad if turn % 2 else good.replace("= 8", f"= {8 + turn}")
        before = len(hub.told("Reloaded")) + len(hub.told("ReloadRefused"))
        hub.config.write_text(text)
        hub.send(signal.SIGHUP)
        await hub.until(lambda before=before: _more(hub, before))
    posting.cancel()
    tasks = await asyncio.gather(posting, return_exceptions=False)

    refused = hub.told("ReloadRefused")
    assert (len(hub.told("Reloaded")), len(refused)) == (50, 50)
    assert "did you mean" in refused[0]["@m"]
    assert {task["status"] for task in await hub.all_ended(tasks[0])} == {"Done"}


async def _more(hub: Installation, before: int) -> bool:
    return len(hub.told("Reloaded")) + len(hub.told("ReloadRefused")) > before


async def _post_until_cancelled(hub: Installation) -> list[str]:
    """Every post must be accepted; the ids."""
    ids: list[str] = []
    try:
        while True:
            ids.append((await hub.post(payload={"seconds": 0}))["id"])
    except asyncio.CancelledError:
        return ids
