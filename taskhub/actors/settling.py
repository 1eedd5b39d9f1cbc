"""Writes the outcomes of attempts in batches, and keeps each until the store has taken it."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from taskhub.kernel.mailbox import MailboxClosed
from taskhub.messages import PASSING, Put
from taskhub.model import trace_id_of
from taskhub.obs.attempts import End, tell_end
from taskhub.obs.telemetry import Complained, Emit, StaleFinish, TaskReleased
from taskhub.ports import Finish, Finished, Refused, Release, Stale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskhub.actors.holdings import Holdings, Settled
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.ports import Result, Write

BATCH = 512
"""Most outcomes in one ask of the store."""
PATIENCE = 5.0
"""Longest pause in seconds between two tries while the store is in trouble."""


class Settler:
    """One loop: take what has ended, ask the store, tell what came of it, forget it.

    Nothing leaves the holdings before it is settled: whoever comes after a crash goes on with it.
    """

    def __init__(
        self,
        holdings: Holdings,
        store_box: Mailbox[Put],
        forget: Callable[[Settled], None],
        emit: Emit,
        until: Callable[[str], datetime | None],
    ) -> None:
        """`forget` is called for each attempt that the store has settled; `until` says how long
        a result of now is kept, of a type (None: as long as the task).
        """
        self._until = until
        self._holdings, self._box, self._forget, self._emit = holdings, store_box, forget, emit
        self._news, self._departure = asyncio.Event(), asyncio.Event()
        self._leaving = False

    def wake(self) -> None:
        """Something has ended."""
        self._news.set()

    async def company(self) -> None:
        """Wait until outcomes are about to be written, if any are on their way: who asks the store
        for something now shares their commit.
        """
        await self._departure.wait()

    def leave(self) -> None:
        """End as soon as everything is settled."""
        self._leaving = True
        self._news.set()

    async def run(self) -> None:
        """Settle until told to leave and nothing is left, or the store has ended for good."""
        ended = self._holdings.ended
        try:
            while ended or not self._leaving:
                self._departure.set()
                if not ended:
                    self._news.clear()
                    await self._news.wait()
                    continue
                batch = ended[:BATCH]
                ended[: len(batch)] = await self._settle(batch)
        except MailboxClosed:
            pass
        finally:
            self._departure.set()

    async def _settle(self, batch: Sequence[Settled]) -> list[Settled]:
        """Write these outcomes and tell what came of them; what is left to be tried again."""
        writes = [self._lasting(row) for row in batch if row.write is not None]
        results = iter(await self._put(writes) if writes else ())
        again = []
        for row in batch:
            result = next(results) if row.write is not None else None
            if isinstance(result, Refused):
                again.append(self._refused(row, result.reason))
                continue
            self._tell(row, result)
            self._forget(row)
        return again

    def _lasting(self, row: Settled) -> Finish | Release:
        """What is written, and how long its result is kept."""
        write = row.write
        assert write is not None
        if isinstance(write, Finish) and write.result is not None:
            until = self._until(row.attempt.lease.item.type)
            return write if until is None else msgspec.structs.replace(write, result_until=until)
        return write

    async def _put(self, writes: Sequence[Write]) -> Sequence[Result]:
        """Ask until the store takes it: an outcome is never dropped for trouble that passes."""
        pause = 0.05
        while True:
            try:
                return await self._sent(writes)
            except MailboxClosed:  # no store will ever answer here again: our death frees the rest
                raise
            except PASSING:
                self._departure.set()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads load
                pause = min(PATIENCE, pause * 2)

    def _sent(self, writes: Sequence[Write]) -> asyncio.Future[Sequence[Result]]:
        self._departure.set()
        answer = Put(*writes).sent_to(self._box)
        answer.get_loop().call_soon(self._departure.clear)  # the store looks after that, not before
        return answer

    def _refused(self, row: Settled, reason: str) -> Settled:
        instead = row.refused(reason)
        if instead.write is None:
            text = f"what became of {row.attempt.id} cannot be stored: {reason}"
            self._emit(Complained(text=text))
        return instead

    def _tell(self, row: Settled, result: Result | None) -> None:
        item, write = row.attempt.lease.item, row.write
        if isinstance(result, Finished) and isinstance(write, Finish):
            mark = "" if write.cause is None else write.cause.fingerprint
            end = End(result.status, row.seconds, write.error, mark, write.run_at)
            tell_end(self._emit, item, end, trace_id_of(row.attempt.lease.trace_parent))
        elif isinstance(result, Stale):
            self._emit(StaleFinish(task_id=item.id, attempt=item.attempts))
        elif isinstance(write, Release):
            self._emit(TaskReleased(task_id=item.id))
