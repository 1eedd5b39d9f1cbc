"""taskhub.client against a whole TaskHub: the examples of its page, and a server that dies."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from functools import partial
from pathlib import Path

from taskhub.client import Retries, TaskHub, TaskItem

from tests.acceptance.installation import PATIENCE, Installation, token

SCOPES = "tasks.read tasks.write tasks.work"
PAGE = Path(__file__).parents[2] / "docs/python-client.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


async def run(source: str, hub: Installation) -> tuple[int, str]:
    """The example as a program of its own: its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-c", source),
        env={**os.environ, "TASKHUB_URL": hub.url, "TASKHUB_TOKEN": token(scope=SCOPES)},
        cwd=hub.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_every_example_of_the_page_works(hub: Installation) -> None:
    """As it stands there; and it leaves nothing open."""
    await hub.start()

    outcomes = await asyncio.gather(*(run(example, hub) for example in EXAMPLES))

    assert len(outcomes) > 4
    for example, (code, said) in zip(EXAMPLES, outcomes, strict=True):
        assert code == 0, f"{example}\n{said}"
        assert "Warning" not in said


async def test_an_api_that_dies_again_and_again_costs_no_task_and_makes_none_twice(
    hub: Installation,
) -> None:
    """Each call makes one task, whatever happened on the way."""
    await hub.start()
    patient = Retries(attempts=100, within=PATIENCE, first=0.05, longest=0.5)

    async with TaskHub(hub.url, token(), retries=patient) as client:
        made = []
        for _ in range(3):
            before = create_some(client)
            killed = await hub.kill("tree/api-1")
            made += [*await before, *await create_some(client)]
            await hub.until(partial(is_another, hub, killed))
        everything = [task.id async for task in client.tasks()]

    assert len(made) == 60
    assert sorted(everything) == sorted(task.id for task in made)


def create_some(client: TaskHub) -> asyncio.Future[list[TaskItem]]:
    """Ten tasks at once."""
    return asyncio.gather(*(client.create(f"T{n}", payload={"seconds": 0}) for n in range(10)))


async def is_another(hub: Installation, killed: int) -> bool:
    """Whether the tree has noticed, and an API runs again."""
    return await hub.pid("tree/api-1") not in {None, killed}
