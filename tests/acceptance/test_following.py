"""A graph of tasks in real processes: its worker is killed in the middle, nothing is half done."""

from __future__ import annotations

from datetime import datetime

from tests.acceptance.installation import Installation

DEEDS = """
import time
from pathlib import Path

import msgspec

from taskhub import Job, handler

@handler("page", cpu=True)
def page(n: int) -> int:
    while not Path("go").exists():
        time.sleep(0.01)
    return n

@handler("bind", cpu=True)
def bind(job: Job) -> list[int]:
    return [msgspec.json.decode(parent.result) for parent in job.parents]
"""
PAGES = 4


async def test_a_graph_ends_whole_though_its_worker_is_killed_in_the_middle(
    hub: Installation,
) -> None:
    """Fan-out and fan-in: the last reads what all the others have made, in processes of its own."""
    hub.configure(f"[work]\n{hub.handlers(DEEDS)}")
    await hub.start()
    pages = [
        {"name": f"page-{n}", "title": "page", "type": "page", "after": [0], "payload": {"n": n}}
        for n in range(PAGES)
    ]
    tasks = [
        {"title": "source", "payload": {"seconds": 0}},
        *pages,
        {"title": "book", "type": "bind", "after": [page["name"] for page in pages]},
        {"title": "tidy", "after": ["page-0", PAGES + 1], "payload": {"seconds": 0}},
    ]

    status, made = await hub.request("POST", "/tasks/batch", {"tasks": tasks})
    ids = [item["id"] for item in made["items"]]
    await hub.started(ids[1])
    await hub.kill("tree/worker-1")
    (hub.folder / "go").touch()
    ended = await hub.all_ended(ids)

    assert status == 201
    assert [task["status"] for task in ended] == ["Done"] * len(ids)
    assert ended[-2]["result"] == list(range(PAGES))
    assert max(task["attempts"] for task in ended) == 2
    over = {task["id"]: datetime.fromisoformat(task["finishedAt"]) for task in ended}
    assert all(
        over[parent] <= datetime.fromisoformat(task["startedAt"])
        for task in ended
        for parent in task["after"]
    )
