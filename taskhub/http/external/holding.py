"""What an external worker says while it holds a task: I go on, so far I am, take it back."""

from __future__ import annotations

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
from taskhub.obs.telemetry import LeaseLost, TaskReleased
from taskhub.ports import Finished, Progress, Release, Renew, Renewed, Touched

DATA_LIMIT = 4_096
_encode = msgspec.json.Encoder().encode


async def renew(call: Call) -> Answer:
    """Let a lease last, at most as long as the task may run; say whether its cancel is wished."""
    no_query(call.request)
    id_, asked = task_id(call), await bodies.read(await call.json_body(), bodies.Renewal)
    held = await mine(call, id_, asked.lease)
    left = held.item.timeout_seconds - seconds_run(held)
    if left <= 0:
        raise LeaseOver("The task has run as long as it may: the lease is not renewed.")
    seconds = min(asked.lease_seconds, left)
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    (result,) = await call.put(Renew(held=((id_, held.fence),), lease=seconds))
    if not isinstance(result, Renewed) or result.lost:
        call.context.emit(LeaseLost(task_id=id_))
        raise LeaseOver
    await call.context.sightings.say(call, [held.item.type])
    state = bodies.LeaseState(id=id_, lease_until=until, cancel_requested=bool(result.cancel))
    return Answer(200, _encode(state))


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
