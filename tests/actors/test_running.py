"""What is started of what a pool holds, and what is not started any more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from taskhub.actors.holdings import Holdings
from taskhub.actors.running import Lanes, Running
from taskhub.attempts import Ended
from taskhub.kernel.clock import boottime
from taskhub.model import Lease, Status, TaskId
from taskhub.ports import Finish, Release
from taskhub.work.attempt import Attempt

from tests.actors.workshop import task


class Notes:
    """A ledger and a lane in one: what has begun."""

    def __init__(self) -> None:
        self.begun = list[TaskId]()

    def start(self, task_id: TaskId) -> None:
        self.begun.append(task_id)

    def end(self, task_id: TaskId) -> None:
        pass

    async def run(self, attempt: Attempt) -> Ended:
        return Finish(id=attempt.id, fence=attempt.lease.fence, status=Status.DONE)


async def test_what_waited_here_past_its_lease_is_given_back_and_never_begins() -> None:
    """A process that was frozen wakes before its renewal looks: another may run the task by now."""
    held, notes, ended = Holdings(), Notes(), asyncio.Event()
    late, good = (Attempt(Lease(item=task(), fence=7), boottime() + left) for left in (-0.1, 60.0))
    for attempt in (late, good):
        held.take_in(attempt)
    lane = cast("Any", notes)

    async def close() -> None:
        """There is nothing to be closed."""

    def count() -> None:
        if len(held.ended) > 1:
            ended.set()

    lanes = Lanes(lane, lane, Attempt, lambda _: None, close)
    running = Running(lanes, held, notes, lambda _: None, count)
    running.resize(2)

    await running.fill()
    async with asyncio.timeout(5):
        await ended.wait()
    await running.close()

    assert notes.begun == [good.id]
    assert held.ended[0].write == Release(held=((late.id, 7),))
