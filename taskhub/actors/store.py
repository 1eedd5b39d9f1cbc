"""The `store` actor, the only writer of its process: commits what its mailbox holds, answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from taskhub.bulk import Acted
from taskhub.bus import SCHEDULES
from taskhub.errors import Trouble
from taskhub.kernel.mailbox import Mailbox, MailboxClosed, MailboxFull, answering
from taskhub.messages import Publish, Put
from taskhub.model import EventType, Status
from taskhub.obs.telemetry import (
    Committed,
    Emit,
    EventsDropped,
    StateChanged,
    TasksFollowed,
)
from taskhub.ports import Cancel, Changed, Create, Register, Touched
from taskhub.queues import Pause
from taskhub.registration import Forget
from taskhub.schedules.writes import Fired, Saved, Synced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.kernel.actor import Context
    from taskhub.model import Event, TaskItem
    from taskhub.ports import Committed as Commit
    from taskhub.ports import Result, Store, Write

BATCH = 512
"""Messages taken into one transaction; the batch grows by itself while the last commit runs."""

_KINDS = {
    EventType.CREATED: "work",
    EventType.RETRYING: "work",
    EventType.DONE: "ended",
    EventType.FAILED: "ended",
    EventType.CANCELLED: "ended",
}

_OF_TYPES = frozenset({Register, Forget})


@dataclass(slots=True)
class StoreHealth:
    """How the store is doing, for `/ready`; written by the store actor alone."""

    state: str = "ok"
    detail: str = ""


class StoreActor:
    """Group commit without a timer: an idle system adds no delay, a busy one batches by itself."""

    def __init__(
        self,
        inbox: Mailbox[Put],
        store: Store,
        outbox: Mailbox[Publish] | None,
        health: StoreHealth,
        emit: Emit,
    ) -> None:
        """Commit what comes to `inbox` to `store`, and tell `outbox` what has happened."""
        self._inbox, self._store, self._outbox = inbox, store, outbox
        self._health, self._emit = health, emit

    async def run(self, ctx: Context) -> None:
        """Open, serve until the mailbox is closed and drained, close."""
        try:
            if not await self._open(ctx):
                return
            while puts := await self._inbox.take(BATCH):
                with answering(puts):
                    await self._commit(puts)
        finally:
            await self._store.close()

    async def _open(self, ctx: Context) -> bool:
        """Open, however long it takes; False: a stop came first.

        Trouble around us is a state: we are ready in it too, and say so to whoever asks.
        """
        pause = 0.1
        while not ctx.stopping.is_set():
            try:
                await self._store.open()
            except Trouble as error:
                await self._refuse(error)
                ctx.ready()
                await ctx.pause(pause)
                pause = min(2.0, pause * 2)
            else:
                self._note(None)
                ctx.ready()
                return True
        return False

    async def _refuse(self, error: Trouble) -> None:
        """Nobody waits for a store that is not there."""
        self._note(error)
        if len(self._inbox):
            for put in await self._inbox.take(BATCH):
                put.fail(error)

    async def _commit(self, puts: Sequence[Put]) -> None:
        writes: list[Write] = []
        for put in puts:
            writes.extend(put.writes)
        began = time.perf_counter()
        try:
            done = await self._store.commit(writes)
        except Trouble as error:
            self._note(error)
            for put in puts:
                put.fail(error)
            return
        self._note(None)
        self._answer(puts, done)
        seconds = time.perf_counter() - began
        self._emit(Committed(writes=len(writes), seconds=seconds, retries=done.retries))
        if done.followed:
            self._emit(TasksFollowed(**asdict(done.followed)))
        self._tell(writes, done)

    @staticmethod
    def _answer(puts: Sequence[Put], done: Commit) -> None:
        start, results = 0, done.results
        for put in puts:
            end = start + len(put.writes)
            put.answer(results[start:end])
            start = end

    def _tell(self, writes: Sequence[Write], done: Commit) -> None:
        kinds = _of_events(writes, done.events)
        kinds.update(filter(None, map(_rung, writes, done.results)))
        if done.followed.let_go:
            kinds.add("work")
        if done.events and not kinds:
            kinds.add("told")
        if self._outbox is None or not (kinds or done.events):
            return
        try:
            self._outbox.post(Publish(done.events, frozenset(kinds)))
        except (MailboxFull, MailboxClosed):
            self._emit(EventsDropped(count=len(done.events), reason="full"))

    def _note(self, error: Trouble | None) -> None:
        state, detail = ("failed", error.detail) if error else ("ok", "")
        if (state, detail) == (self._health.state, self._health.detail):
            return
        self._health.state, self._health.detail = state, detail
        why = error.reason if error else ""  # /ready is for strangers too, the log is not
        self._emit(StateChanged(part="store", state=state, detail=why))


def _of_events(writes: Sequence[Write], events: Sequence[Event]) -> set[str]:
    """What rings for these events; no worker need look for new tasks that are due later."""
    later = {write.item.id for write in writes if isinstance(write, Create) and _waits(write.item)}
    return {
        "later" if event.id in later and event.type is EventType.CREATED else _KINDS[event.type]
        for event in events
        if event.type in _KINDS
    }


def _waits(item: TaskItem) -> bool:
    return item.run_at > item.created_at


def _rung(write: Write, result: Result) -> str:
    """What rings beside the events: somebody is asked to stop, types or schedules are others
    now, a queue or a type is no longer paused.

    A worker that starts again changes no types.
    """
    match result:
        case Changed(item=item):
            asked = isinstance(write, Cancel) and item.status is Status.PROCESSING
        case Acted(stopping=stopping):
            asked = stopping > 0
        case Fired(asked_to_stop=task):
            asked = task is not None
        case Saved() | Synced():
            return SCHEDULES
        case Touched(count=1) if isinstance(write, Pause) and not write.paused:
            return "work"
        case Touched(count=count):
            return "types" if count and type(write) in _OF_TYPES else ""
        case _:
            return ""
    return "cancel" if asked else ""
