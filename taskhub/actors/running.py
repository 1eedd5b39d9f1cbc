"""Runs what a pool holds: starts what waits, stops what must stop; it claims and writes nothing."""

from __future__ import annotations

import asyncio
import random
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiojobs

from taskhub.attempts import Lost, Released, StopReason, Stubborn
from taskhub.backoff import Backoff
from taskhub.failures import cause_of
from taskhub.kernel.clock import boottime
from taskhub.model import Retry, Status, trace_id_of
from taskhub.obs.attempts import tell_start
from taskhub.obs.telemetry import HandlerRaised, HandlerStubborn, LeaseLost
from taskhub.policy import Tries, settle
from taskhub.ports import Finish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from taskhub.actors.holdings import Holdings
    from taskhub.attempts import Attempt, Ended, Ledger, Runner
    from taskhub.model import Lease
    from taskhub.obs.telemetry import Emit

LAST_WORDS = 5.0
"""Seconds that a handler has to end in after it was told to stop."""
TEXT = 4_000
"""Most characters kept of an error."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """What runs attempts: `main` in this process, `suspects` one at a time in a child."""

    main: Runner[Any]
    suspects: Runner[Any]
    attempt: Callable[[Lease, float], Attempt]
    """Makes what they run of a lease and the time when it ends."""
    resize: Callable[[int], None]
    """Called when the concurrency has changed."""
    close: Callable[[], Awaitable[None]]
    apart: Mapping[str, Runner[Any]] = field(default_factory=dict)
    """What runs attempts of these types, in place of `main`; the ledger hears from it when one
    starts, since some wait there.
    """


class Running:
    """One job for each attempt, through aiojobs; every attempt ends up in `held.ended`, or is left
    behind.
    """

    def __init__(
        self, lanes: Lanes, held: Holdings, ledger: Ledger, emit: Emit, on_end: Callable[[], None]
    ) -> None:
        """`on_end` is called after each attempt, when what follows from it is kept."""
        self._lanes, self._held, self._ledger = lanes, held, ledger
        self._emit, self._on_end = emit, on_end
        self._jobs = aiojobs.Scheduler(limit=None, close_timeout=LAST_WORDS)
        self._emptied = asyncio.Event()
        self._is_closing = False
        self.is_open = True
        """Whether anything may still be started."""
        self.size = 1
        """How many attempts may run at once."""

    async def fill(self) -> None:
        """Start what waits while slots are free; the suspect has a slot of its own."""
        held = self._held
        while held.waiting and self.is_open and not held.left_behind:
            attempt = held.start_next(self.size)
            if attempt is None:
                return
            if attempt.reason is not None:
                self._skip(attempt)
                continue
            if attempt.lease_until <= boottime():  # we were frozen: it may be another's by now
                self._note_end(attempt, Released())
                continue
            if not self._is_apart(attempt):
                self._ledger.start(attempt.id)
            await self._jobs.spawn(self._run(attempt))

    def resize(self, size: int) -> None:
        """Allow more or fewer at once; those too many end first."""
        if size != self.size:
            self.size = size
            self._lanes.resize(size)

    def stop(self, attempts: Sequence[Attempt], reason: StopReason) -> None:
        """Tell handlers to stop; what waits will not start."""
        for attempt in attempts:
            if attempt.reason is reason or not self._held.is_open(attempt):
                continue
            if reason is StopReason.LOST:
                self._emit(LeaseLost(task_id=attempt.id))
            self._lane(attempt).stop(attempt, reason)

    async def stop_all(self) -> None:
        """End what runs; returns when all has ended or is known not to."""
        self.is_open = False
        self.excuse(self._held.running)
        self.stop(tuple(self._held.running), StopReason.DRAIN)
        await self.until_idle(LAST_WORDS + 1.0)

    def excuse(self, attempts: Iterable[Attempt]) -> None:
        """They are stopped for no fault of theirs: however this process ends, it costs nothing."""
        for attempt in attempts:
            if attempt.reason is not StopReason.TIMEOUT:
                self._ledger.end(attempt.id)

    async def until_idle(self, seconds: float) -> None:
        """Wait until nothing runs, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._held.running:
                    self._emptied.clear()
                    await self._emptied.wait()

    async def close(self) -> None:
        """Cut off what still runs: after `stop_all` nothing does."""
        self.is_open, self._is_closing = False, True
        await self._jobs.close()
        await self._lanes.close()
        for attempt in tuple(self._held.running):
            self._held.leave_behind(attempt)  # its thread may go on: only our death is sure

    # ---- one attempt ----

    async def _run(self, attempt: Attempt) -> None:
        item = attempt.lease.item
        tell_start(self._emit, item, trace_id_of(attempt.lease.trace_parent))
        try:
            ended: Ended = await self._lane(attempt).run(attempt)
        except asyncio.CancelledError as error:
            if self._is_closing:
                raise
            ended = self._broken(attempt, error)  # a handler has cancelled its own task
        except Exception as error:  # noqa: BLE001 - a bug of ours is one attempt's failure, no more
            ended = self._broken(attempt, error)
        self._note_end(attempt, ended)
        if self._held.waiting:
            await self.fill()

    def _broken(self, attempt: Attempt, error: BaseException) -> Ended:
        """A slot is given back and an attempt has an outcome, whatever happens."""
        if attempt.reason is StopReason.LOST:
            return Lost()
        item, text = attempt.lease.item, f"{type(error).__name__}: {error}"[:TEXT]
        self._emit(
            HandlerRaised(
                task_id=item.id,
                type=item.type,
                attempt=item.attempts,
                error=text,
                trace="".join(traceback.format_exception(error))[-2 * TEXT :],
            )
        )
        tries = Tries(item.attempts, item.max_attempts, item.backoff or Backoff())
        now = datetime.now(UTC)
        follows = settle(Retry(text), tries, now, random.Random())  # noqa: S311 - jitter is no key
        return Finish(
            id=item.id,
            fence=attempt.lease.fence,
            status=follows.status,
            error=follows.error,
            run_at=follows.run_at,
            cause=cause_of(item.type, type(error).__name__),
        )

    def _note_end(self, attempt: Attempt, ended: Ended) -> None:
        if isinstance(ended, Stubborn):
            self._leave_behind(attempt, ended.reason)
        else:
            self._held.end(attempt, ended)
        if not self._held.running:
            self._emptied.set()
        self._on_end()

    def _skip(self, attempt: Attempt) -> None:
        """It was told to stop before it began."""
        lease = attempt.lease
        never = Finish(id=lease.item.id, fence=lease.fence, status=Status.CANCELLED)
        self._note_end(attempt, Lost() if attempt.reason is StopReason.LOST else never)

    def _leave_behind(self, attempt: Attempt, reason: StopReason) -> None:
        """Its lease is kept until this process is gone, so that it never runs twice at once:
        the others are handed back or end, and the process is replaced.
        """
        self._held.leave_behind(attempt)
        kind = attempt.lease.item.type
        self._emit(HandlerStubborn(task_id=attempt.id, type=kind, reason=f"ignores its {reason}"))
        if reason is StopReason.DRAIN:  # not its fault: who takes over gives the attempt back
            self._ledger.end(attempt.id)

    def _lane(self, attempt: Attempt) -> Runner[Any]:
        if attempt.lease.suspect:
            return self._lanes.suspects
        if self._is_apart(attempt):
            return self._lanes.apart[attempt.lease.item.type]
        return self._lanes.main

    def _is_apart(self, attempt: Attempt) -> bool:
        return not attempt.lease.suspect and attempt.lease.item.type in self._lanes.apart
