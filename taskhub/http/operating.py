"""What operators do: cancel, retry, look at the actors; each act is kept in the audit log."""

from __future__ import annotations

import msgspec

from taskhub.errors import Conflict, NotFound
from taskhub.http.answers import Answer
from taskhub.http.auditing import mark, tell
from taskhub.http.call import Call
from taskhub.http.queries import no_query
from taskhub.http.showing import encode_item, fetch_theirs, task_id
from taskhub.model import Status
from taskhub.ports import Cancel, Changed, Missing, Requeue, Result, Unchanged

_encode = msgspec.json.Encoder().encode


async def cancel(call: Call) -> Answer:
    """Cancel a waiting task at once (200), ask a running one to stop (202); an ended one: 409."""
    no_query(call.request)
    id_ = task_id(call)
    item = await fetch_theirs(call, id_)
    if item.status.is_final:
        raise Conflict("The task has ended.")
    result, _ = await call.put(Cancel(id=id_), mark(call, "cancel", id_))
    return _cancelled(call, result)


async def retry(call: Call) -> Answer:
    """Let a failed or cancelled task begin anew; 409 in every other state."""
    no_query(call.request)
    item = await fetch_theirs(call, task_id(call))
    if item.status not in {Status.FAILED, Status.CANCELLED}:
        raise Conflict("Only a failed or cancelled task can be retried.")
    result, _ = await call.put(Requeue(id=item.id), mark(call, "retry", item.id))
    match result:
        case Changed(item=now):
            tell(call, "retry", now.id)
            return Answer(200, encode_item(now))
        case Missing():
            raise NotFound
        case _:
            raise Conflict("Only a failed or cancelled task can be retried.")


async def actors(call: Call) -> Answer:
    """Every actor of the whole tree, and how it is."""
    no_query(call.request)
    return Answer(200, _encode({"items": await call.context.actors()}))


def _cancelled(call: Call, result: Result) -> Answer:
    match result:
        case Changed(item=now):
            tell(call, "cancel", now.id)
        case Unchanged(item=now) if not now.status.is_final:
            pass  # it was asked for before, and is on its way
        case Missing():
            raise NotFound
        case _:
            raise Conflict("The task has ended.")
    return Answer(200 if now.status is Status.CANCELLED else 202, encode_item(now))
