"""`POST /work/claim`: tasks for an external worker, as soon as there are some."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, cast

import msgspec

from taskhub.config.queues import limits_of
from taskhub.http.answers import Answer
from taskhub.http.external import bodies, leases
from taskhub.http.external.bench import LATER, Seat
from taskhub.http.external.types import check_types
from taskhub.http.queries import no_query
from taskhub.messages import Put
from taskhub.model import trace_id_of
from taskhub.obs.attempts import tell_start
from taskhub.obs.telemetry import Emit, TaskReleased
from taskhub.ports import Claim, Claimed, Release, Renew

if TYPE_CHECKING:
    from taskhub.http.call import Call
    from taskhub.http.connection import Connection
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.model import Lease, TaskId
    from taskhub.queues import QueueLimit

ANSWER_BYTES = 8 * 1024 * 1024
"""Payloads of one answer: what goes beyond is given back at once."""

_encode = msgspec.json.Encoder().encode


async def claim(call: Call) -> Answer:
    """Hand out tasks, as soon as there are some; 204 when there are none in time."""
    no_query(call.request)
    wish = await bodies.read(await call.json_body(), bodies.Wish)
    await check_types(call, wish.types)
    await call.context.sightings.say(call, wish.types)
    secret = leases.new_secret(call.principal, wish.worker)
    wanted = (frozenset(wish.types), frozenset(wish.queues))
    seat = Seat(wanted, wish.limit, lambda: _claimed(call, wish, secret), lambda: _is_there(call))
    found = await call.context.bench.take(seat, wish.wait)
    mine = await _fitting(call, found)
    if not mine:
        return Answer(204)
    await _shorten(call, mine, wish.lease_seconds)
    for lease in mine:
        tell_start(call.context.emit, lease.item, trace_id_of(lease.trace_parent))
    items = [_handed(lease, secret, wish.lease_seconds) for lease in mine]
    return Answer(200, _encode(bodies.HandedList(items)))


def giving_back(box: Mailbox[Put], emit: Emit) -> Callable[[Sequence[Lease]], Awaitable[None]]:
    """What gives tasks back that were claimed for nobody; where that fails, their leases end."""

    async def give_back(unwanted: Sequence[Lease]) -> None:
        held = [(lease.item.id, lease.fence) for lease in unwanted]
        with suppress(*LATER):
            await Put(Release(held=held)).sent_to(box)
            for id_, _ in held:
                emit(TaskReleased(task_id=id_))

    return give_back


async def _claimed(call: Call, wish: bodies.Wish, secret: leases.Secret) -> Sequence[Lease]:
    """What the store hands out now; one that has killed a worker comes after all others."""
    limits = limits_of(call.context.settings().work)
    found = await _ask(call, _write(wish, secret, wish.limit, limits))
    if len(found) < wish.limit:
        found += await _ask(
            call, msgspec.structs.replace(_write(wish, secret, 1, limits), suspects=True)
        )
    return found


def _write(
    wish: bodies.Wish, secret: leases.Secret, limit: int, limits: Sequence[QueueLimit]
) -> Claim:
    return Claim(
        owner=secret.owner,
        limit=limit,
        lease=wish.lease_seconds,
        types=wish.types,
        queues=wish.queues,
        limits=limits,
    )


async def _ask(call: Call, write: Claim) -> list[Lease]:
    (result,) = await call.put(write)
    return list(result.leases) if isinstance(result, Claimed) else []


async def _fitting(call: Call, found: Sequence[Lease]) -> Sequence[Lease]:
    """Those that fit into one answer, at least one; none, when nobody is there any more."""
    if not found:
        return found
    sizes = accumulate(map(_size, found))
    count = sum(size <= ANSWER_BYTES for size in sizes) or 1
    if not _is_there(call):
        count = 0
    if len(found) > count:
        await call.context.bench.give_back(found[count:])
    return found[:count]


def _size(lease: Lease) -> int:
    results = (parent.result for parent in lease.parents if parent.result is not None)
    return len(bytes(lease.item.payload)) + sum(len(bytes(result)) for result in results)


def _is_there(call: Call) -> bool:
    return not cast("Connection", call.request.protocol).has_hung_up


async def _shorten(call: Call, mine: Sequence[Lease], seconds: float) -> None:
    """No lease is longer than its task may run: a worker that vanishes holds none for longer."""
    short: dict[float, list[tuple[TaskId, int]]] = {}
    for lease in mine:
        if (limit := lease.item.timeout_seconds) < seconds:
            short.setdefault(limit, []).append((lease.item.id, lease.fence))
    if short:
        with suppress(*LATER):  # then it is the longer one
            await call.put(*(Renew(held=held, lease=limit) for limit, held in short.items()))


def _handed(lease: Lease, secret: leases.Secret, seconds: float) -> bodies.Handed:
    claimed_at = lease.item.updated_at
    return bodies.Handed(
        id=lease.item.id,
        lease=secret.token(lease.fence),
        lease_until=claimed_at + timedelta(seconds=min(seconds, lease.item.timeout_seconds)),
        fence=lease.fence,
        task=lease.item,
        parents=lease.parents,
    )
