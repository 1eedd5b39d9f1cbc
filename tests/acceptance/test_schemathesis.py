"""A robot reads the description and tries everything that it allows, and what it forbids."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from taskhub.http.openapi import described
from taskhub.http.route import Route
from taskhub.http.routes import ROUTES

from tests.acceptance.installation import Installation, token

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("robot_hooks.py")
SECONDS = 12
"""The robot's time; what it has not tried by then it tries in another run."""
SEED = 1
"""The same every time, so that a change is judged by what it changes; try others by hand."""
UNTRUE_HERE = "ensure_resource_availability"
"""What was made need not be there: the robot itself deletes it, by acts on all that match."""


def is_stream(route: Route) -> bool:
    """Whether its answer has no end, for which the robot would wait."""
    return any(reply.content_type == "text/event-stream" for reply in route.replies)


def arguments(hub: Installation) -> list[str]:
    """What the robot is told: the description's address, and what to leave out."""
    streams = [route.name for route in described(ROUTES) if is_stream(route)]
    return [
        *("--config-file", str(CONFIG), "run", f"{hub.url}/openapi.json"),
        *("--checks", "all", "--max-time", str(SECONDS), "--no-color", "--warnings", "off"),
        *("--seed", str(SEED), "--exclude-checks", UNTRUE_HERE),
        *(part for name in streams for part in ("--exclude-operation-id", name)),
    ]


async def test_every_promise_of_the_description_is_kept(hub: Installation) -> None:
    """Answers have the status, the shape and the fields that are told; bad input is refused."""
    await hub.start()
    secret = token(roles=("Admin", "Operator"), scope="tasks.read tasks.write tasks.work")

    robot = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", *arguments(hub)),
        cwd=hub.folder,
        env={**os.environ, "TASKHUB_TOKEN": secret, "SCHEMATHESIS_HOOKS": str(HOOKS)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await robot.communicate()

    assert hub.told("RequestCrashed") == [], said.decode()
    assert robot.returncode == 0, said.decode()
    assert await hub.post()
