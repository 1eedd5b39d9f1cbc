"""What handlers do in a simulation: each task has a script, an act for each of its starts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from taskhub.backoff import Backoff
from taskhub.model import Cancel, Fail, Retry, Snooze
from taskhub.work.job import Job
from taskhub.work.registry import Registry, handler

from tests.simulation.lanes import Loop, pause

ACTS = (
    *("ok", "ok", "ok", "ok", "raise", "raise", "retry", "snooze", "cancel", "fail"),
    *("stubborn", "block", "poison"),
)
LENGTHS = (0.0, 0.02, 0.3, 1.5, 3.0, 5.0, 9.0)
"""Seconds that an act takes; the longest is past most time limits and leases."""


@dataclass
class Script:
    """The acts of one task; after the last one all is well, or nothing ever is."""

    acts: list[tuple[str, float]]
    hopeless: bool
    starts: int = 0

    def next(self) -> tuple[str, float]:
        """The act of the next start."""
        self.starts += 1
        if self.starts <= len(self.acts):
            return self.acts[self.starts - 1]
        return ("raise" if self.hopeless else "ok"), 0.02


def write(rng: Random) -> Script:
    """Some acts."""
    acts = [(rng.choice(ACTS), rng.choice(LENGTHS)) for _ in range(rng.choice((0, 1, 2, 2, 4)))]
    return Script(acts, hopeless=rng.random() < 0.1)


@handler("job", backoff=Backoff(base=0.2, factor=2.0, cap=1.0))
async def play(job: Job) -> dict[str, int]:
    """Play the next act of the task's script."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    stage: Any = loop.stage
    act, seconds = stage.enters(job)
    try:
        await _perform(stage, job, act, seconds)
    finally:
        stage.leaves(job)
    return {"fence": job.fence}


async def _perform(stage: Any, job: Job, act: str, seconds: float) -> None:
    match act:
        case "block":
            stage.blocks(seconds)
            await pause(seconds)
        case "stubborn":
            await _stubbornly(seconds)
        case _:
            await pause(seconds)
    match act:
        case "poison":
            await stage.dies(job)
        case "raise":
            raise ValueError("as the script says")
        case "retry":
            raise Retry("later", in_seconds=0.5)
        case "snooze":
            raise Snooze(0.7)
        case "cancel":
            raise Cancel("there is nothing to do")
        case "fail":
            raise Fail("it never works")
        case _:
            pass


async def _stubbornly(seconds: float) -> None:
    """Be deaf to every cancellation."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        try:
            await pause(end - loop.time())
        except asyncio.CancelledError:
            continue


REGISTRY = Registry.of(play)
