"""What an external worker says while it holds a task: I go on, so far I am, take it back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from taskhub.errors import FieldError, Invalid
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.external import bodies
from taskhub.http.external.leases import LeaseOver, mine, seconds_run
from taskhub.http.queries import no_query
from taskhub.http.showing import task_id
from taskhub.model import TaskId
from taskhub.obs.telemetry import LeaseLost, TaskReleased
from taskhub.ports import Finished, Held, Progress, Release, Renew, Renewed, Touched

DATA_LIMIT = 4_096
_encode = msgspec.json.Encoder().encode


async def renew(call: Call) -> Answer:
    """Let a lease last, and say whether the task's cancel is wished: when it is, or in the end."""
    no_query(call.request)
    id_, asked = task_id(call), await bodies.read(await call.json_body(), bodies.Renewal)
    held = await mine(call, id_, asked.lease)
    now = datetime.now(UTC)
    seconds, is_wished = await _renewed(call, held, asked.lease_seconds)
    if asked.wait and not is_wished:
        is_wished = await _wished(call, id_, min(asked.wait, bodies.WAIT_MOST, seconds / 2))
    until = now + timedelta(seconds=seconds)
    state = bodies.LeaseState(id=id_, lease_until=until, cancel_requested=is_wished)
    return Answer(200, _encode(state))


async def _renewed(call: Call, held: Held, wished: float) -> tuple[float, bool]:
    """For how long: never longer than the task may run. And whether its cancel is wished."""
    left = held.item.timeout_seconds - seconds_run(held)
    if left <= 0:
        raise LeaseOver("The task has run as long as it may: the lease is not renewed.")
    id_, seconds = held.item.id, min(wished, left)
    (result,) = await call.put(Renew(held=((id_, held.fence),), lease=seconds))
    if not isinstance(result, Renewed) or result.lost:
        call.context.emit(LeaseLost(task_id=id_))
        raise LeaseOver
    await call.context.sightings.say(call, [held.item.type])
    return seconds, bool(result.cancel)


async def _wished(call: Call, id_: TaskId, seconds: float) -> bool:
    """Whether the task's cancel comes to be wished in this time; raises Busy."""
    with call.context.cancels.awaiting(id_) as wish:
        await asyncio.wait([wish], timeout=seconds)
        return wish.done() and bool(wish.result())


async def report(call: Call) -> Answer:
    """Keep how far the work is."""
    no_query(call.request)
    id_, said = task_id(call), await bodies.read(await call.json_body(), bodies.Report)
    held = await mine(call, id_, said.lease)
    data = _encode(_kept(said))
    (result,) = await call.put(Progress(id=id_, fence=held.fence, data=data))
    if not isinstance(result, Finished):
        raise LeaseOver
    return Answer(204)


def _kept(said: bodies.Report) -> dict[str, Any]:
    """The task's `progress`, as a handler of our own would have told it."""
    kept: dict[str, Any] = {"fraction": said.fraction, "text": said.text}
    if said.data is None:
        return kept
    if len(_encode(said.data)) > DATA_LIMIT:
        raise Invalid([FieldError("/data", f"at most {DATA_LIMIT:,} bytes of JSON")])
    return kept | {"data": said.data}


async def give_back(call: Call) -> Answer:
    """Give a task back as if it had never been claimed."""
    no_query(call.request)
    id_, given = task_id(call), await bodies.read(await call.json_body(), bodies.GivingBack)
    held = await mine(call, id_, given.lease)
    (result,) = await call.put(Release(held=((id_, held.fence),)))
    if not isinstance(result, Touched) or not result.count:
        raise LeaseOver
    call.context.emit(TaskReleased(task_id=id_))
    return Answer(204)
