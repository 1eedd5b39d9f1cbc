"""`hub.work`: the routes of external workers, which claim tasks and hold them under a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack
from urllib.parse import quote

import msgspec

from taskhub.client.errors import LeaseOver
from taskhub.client.line import Ask, Line
from taskhub.client.naming import members_of
from taskhub.client.structs import Handed, HandedList, KnownTypes, LeaseState, Outcome, WorkType
from taskhub.client.worker import Handler, Worker

LEASE = 30.0
"""Seconds."""

_encode = msgspec.json.Encoder().encode


class Work:
    """What a worker says to a TaskHub; its token needs the scope `tasks.work`.

    Whoever's lease is over gets LeaseOver: drop the work, the task is somebody else's.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    async def register(self, name: str, **defaults: Unpack[WorkType]) -> None:
        """Make a type known that this worker does: nobody can create a task of it before."""
        body = {"types": [{"name": name, **members_of(defaults)}]}
        ask = Ask(method="PUT", path="/work/types", body=_encode(body))
        await self._line.fetch(ask, KnownTypes)

    async def claim(
        self,
        types: Iterable[str],
        *,
        worker: str = "worker",
        limit: int = 1,
        lease_seconds: float = LEASE,
        wait: float = 0.0,
        queues: Iterable[str] = (),
    ) -> list[Handed]:
        """Up to `limit` tasks (100), the most urgent first; with `wait` (60 s) once there are some.

        When the line is cut this is not sent again: it may have handed out tasks, which come back
        when their leases are over.
        """
        body = {
            "types": list(types),
            "worker": worker,
            "limit": limit,
            "leaseSeconds": lease_seconds,
            "wait": wait,
            "queues": list(queues),
        }
        ask = Ask(
            method="POST",
            path="/work/claim",
            body=_encode(body),
            hold=wait,
            is_repeatable=False,
        )
        reply = await self._line.send(ask)
        return self._line.read(reply, HandedList).items if reply.body else []

    async def renew(
        self, held: Handed, *, lease_seconds: float = LEASE, wait: float = 0.0
    ) -> LeaseState:
        """Keep it for so many seconds more, and hear whether its cancel is wished; with `wait` the
        answer comes as soon as it is.
        """
        ask = _said(held, "renew", {"leaseSeconds": lease_seconds, "wait": wait}, hold=wait)
        return await self._line.fetch(ask, LeaseState)

    async def progress(
        self, held: Handed, fraction: float, text: str = "", data: object = None
    ) -> None:
        """Say how far the work is; `data` is for the attempt after this one."""
        report = {"fraction": fraction, "text": text, "data": data}
        await self._line.send(_said(held, "progress", report))

    async def complete(self, held: Handed, result: object = None) -> Outcome:
        """The task is done. May be said again, with the same result."""
        return await self._line.fetch(_said(held, "complete", {"result": result}), Outcome)

    async def fail(
        self,
        held: Handed,
        error: str,
        *,
        exception: str | None = None,
        retry_in_seconds: float | None = None,
        final: bool = False,
    ) -> Outcome:
        """The attempt has failed; the task comes again, or is Failed (`final`: whatever is left).

        `exception` names the class of what was raised: failures alike are found by it.
        """
        body: dict[str, Any] = {"error": error, "final": final}
        said = {"exception": exception, "retryInSeconds": retry_in_seconds}
        body |= {name: value for name, value in said.items() if value is not None}
        return await self._line.fetch(_said(held, "fail", body), Outcome)

    async def release(self, held: Handed) -> None:
        """Give the task back: the attempt does not count."""
        try:
            await self._line.send(_said(held, "release", {}))
        except LeaseOver as error:
            if error.attempts == 1:  # else an earlier attempt may have done it
                raise

    async def serve(
        self,
        handlers: Mapping[str, Handler],
        *,
        worker: str = "worker",
        concurrency: int = 1,
        lease_seconds: float = LEASE,
        queues: Sequence[str] = (),
        stop: asyncio.Event | None = None,
    ) -> None:
        """Do tasks of these types, so many at once, until `stop` is set and the last has ended.

        A handler takes a Job; what it returns is the task's result, what it raises its failure. Its
        lease is renewed meanwhile. An `async def` is cancelled when the task's cancel is wished or
        its lease is over; a `def` runs in a thread, and looks at `job.cancelled` now and then. When
        this call is cancelled itself, what is in hand is given back. Raises what no patience mends:
        a token that is refused, a type that is not registered.
        """
        wish = {"worker": worker, "lease_seconds": lease_seconds, "queues": tuple(queues)}
        await Worker(self, handlers, concurrency, wish).run(stop or asyncio.Event())


def _said(held: Handed, verb: str, body: dict[str, Any], *, hold: float = 0.0) -> Ask:
    path = f"/work/{quote(held.id, safe='')}/{verb}"
    return Ask(method="POST", path=path, body=_encode({"lease": held.lease, **body}), hold=hold)
