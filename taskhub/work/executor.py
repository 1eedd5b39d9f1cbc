"""Runs one attempt, from its payload to what is to be written about it; knows no store."""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

from taskhub.model import Cancel, Done, Lease, Outcome, Retry, Status
from taskhub.obs.telemetry import Emit, HandlerRaised, HandlerStubborn, Telemetry
from taskhub.policy import Tries, settle
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt, Ended, Lost, Released, StopReason, Stubborn
from taskhub.work.deadlines import Deadlines
from taskhub.work.job import Job
from taskhub.work.outcome import error_text, outcome_of_error, outcome_of_value, trace_text
from taskhub.work.registry import Registry
from taskhub.work.reports import Deliver, Reports
from taskhub.work.signature import Function
from taskhub.work.threads import Threads

GRACE = 5.0
"""Seconds that a handler has to end in after it was told to stop."""

PROGRESS_EVERY = 1.0
"""Seconds between two deliveries of progress at most."""


class Runner:
    """Runs attempts: an `async def` in this loop, a `def` in `threads`.

    `on_progress` gets what handlers report, at most once a second. `on_stubborn` gets an attempt
    as soon as it is known not to stop: this process should hand back its other tasks and be
    replaced. All methods belong to the loop in which the runner was made.
    """

    def __init__(
        self,
        registry: Registry,
        threads: Threads,
        emit: Emit,
        *,
        on_progress: Deliver,
        on_stubborn: Callable[[Attempt], None],
        grace: float = GRACE,
        rng: Random | None = None,
    ) -> None:
        self._registry, self._threads, self._emit = registry, threads, emit
        self._on_stubborn, self._grace, self._rng = on_stubborn, grace, rng or Random()  # noqa: S311 - jitter
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._deadlines = Deadlines(self._loop, partial(self.stop, reason=StopReason.TIMEOUT))
        self._reports = Reports(self._loop, PROGRESS_EVERY, on_progress)

    def attempt(self, lease: Lease) -> Attempt:
        """What `run` wants; raises KeyError when the task's type has no handler here."""
        return Attempt(lease, self._registry[lease.item.type])

    async def run(self, attempt: Attempt) -> Ended:
        """Run the handler to its end, or until it is stopped; raises nothing but a stranger's
        cancellation (the caller's own task was cancelled, and not by `stop`).
        """
        self._enter(attempt)
        try:
            outcome = await self._perform(attempt)
        finally:
            self._leave(attempt)
        return self._conclude(attempt, outcome)

    def stop(self, attempt: Attempt, reason: StopReason) -> None:
        """Tell the handler to stop; `run` then returns soon.

        Before the attempt has begun it never will; after its end nothing happens. A `def` handler
        sees `job.cancelled`; a coroutine is cancelled, and once more after half the grace.
        """
        if attempt.ended:
            return
        is_first, is_order = attempt.reason is None, reason is not StopReason.CANCEL
        if is_first or reason is StopReason.LOST:
            attempt.reason = reason
        if attempt.task is not None and (is_first or (is_order and not attempt.is_ordered)):
            self._interrupt(attempt)
        if attempt.task is not None and is_order and not attempt.is_ordered:
            self._enforce(attempt)

    def close(self) -> None:
        """Forget timers and reports; the threads are their maker's."""
        self._deadlines.close()
        self._reports.close()

    # ---- what handlers call through their Job (any thread) ----

    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def tell(self, event: Telemetry) -> None:
        """Emit in the loop's thread."""
        if threading.get_ident() == self._thread:
            self._emit(event)
            return
        with suppress(RuntimeError):  # the loop has closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._emit, event)

    def progressed(self, attempt: Attempt, report: bytes) -> None:
        """Keep the report until it is time to hand it on."""
        self._reports.keep(attempt, report)

    # ---- the pipeline ----

    def _enter(self, attempt: Attempt) -> None:
        attempt.task = asyncio.current_task()
        attempt.started = self._loop.time()
        attempt.deadline = attempt.started + attempt.lease.item.timeout_seconds
        self._deadlines.watch(attempt)

    async def _perform(self, attempt: Attempt) -> Outcome:
        if attempt.reason is not None:
            return Retry("stopped before it began")
        spec = attempt.spec
        try:
            arguments = spec.signature.arguments(attempt.lease.item.payload)
            if spec.signature.job is not None:
                arguments[spec.signature.job] = Job(attempt, self)
            if spec.is_async:
                return outcome_of_value(await spec.function(**arguments))
            return await self._perform_in_thread(attempt, arguments)
        except CancelledError as error:
            return self._cancelled(attempt, error)
        except GeneratorExit:  # the loop is gone, and this coroutine with it
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
            return self._raised(attempt, error)

    async def _perform_in_thread(self, attempt: Attempt, arguments: dict[str, Any]) -> Outcome:
        call = partial(_perform_here, attempt.spec.function, arguments)
        attempt.waiter = self._threads.call(call)
        result: Outcome | BaseException = await attempt.waiter
        return self._raised(attempt, result) if isinstance(result, BaseException) else result

    def _leave(self, attempt: Attempt) -> None:
        attempt.ended = self._loop.time()
        self._deadlines.forget(attempt)
        self._reports.flush(attempt)
        self._take_back_cancels(attempt)
        attempt.task = attempt.waiter = None

    def _conclude(self, attempt: Attempt, outcome: Outcome) -> Ended:
        if attempt.reason is None:
            return self._finish(attempt, outcome)
        if attempt.is_stubborn and not attempt.spec.is_async:
            return Stubborn(attempt.id, attempt.lease.fence, attempt.reason)
        return self._conclude_stopped(attempt, attempt.reason, outcome)

    def _conclude_stopped(self, attempt: Attempt, reason: StopReason, outcome: Outcome) -> Ended:
        """What was done in spite of the stop counts, unless the lease is lost."""
        match reason:
            case StopReason.LOST:
                return Lost(attempt.id)
            case StopReason.DRAIN if isinstance(outcome, Retry):
                return Released(attempt.id, attempt.lease.fence)
            case StopReason.CANCEL if not isinstance(outcome, Done):
                return self._finish(attempt, Cancel("cancelled while it ran"))
            case _:
                return self._finish(attempt, outcome)

    def _finish(self, attempt: Attempt, outcome: Outcome) -> Finish:
        lease = attempt.lease
        if isinstance(outcome, Done):
            return Finish(
                id=lease.item.id, fence=lease.fence, status=Status.DONE, result=outcome.result
            )
        tries = Tries(lease.item.attempts, lease.item.max_attempts, attempt.spec.mark.backoff)
        settled = settle(outcome, tries, datetime.now(UTC), self._rng)
        return Finish(
            id=lease.item.id,
            fence=lease.fence,
            status=settled.status,
            error=settled.error,
            run_at=settled.run_at,
            refund=settled.refund,
        )

    # ---- how handlers fail and are stopped ----

    def _raised(self, attempt: Attempt, error: BaseException) -> Outcome:
        outcome = outcome_of_error(error)
        if outcome is error:
            return outcome
        text = error_text(error)
        self._emit(
            HandlerRaised(
                task_id=attempt.id,
                type=attempt.spec.name,
                attempt=attempt.number,
                error=text,
                trace=trace_text(error),
            )
        )
        if attempt.reason is StopReason.TIMEOUT:
            return Retry(f"{_timed_out(attempt)}; then {text}")
        return Retry(text)

    def _cancelled(self, attempt: Attempt, error: CancelledError) -> Outcome:
        """Whose cancellation was it? Ours, our caller's (then it goes on), or the handler's own."""
        self._take_back_cancels(attempt)
        if attempt.task is not None and attempt.task.cancelling():
            raise error
        if attempt.reason is None:
            return self._raised(attempt, error)
        return Retry(_timed_out(attempt))

    def _take_back_cancels(self, attempt: Attempt) -> None:
        while attempt.cancels and attempt.task is not None:
            attempt.cancels -= 1
            attempt.task.uncancel()

    def _interrupt(self, attempt: Attempt) -> None:
        if attempt.task is not None and attempt.waiter is None:
            attempt.cancels += 1
            attempt.task.cancel()

    def _enforce(self, attempt: Attempt) -> None:
        attempt.is_ordered = True
        self._loop.call_later(self._grace / 2, self._interrupt, attempt)
        self._loop.call_later(self._grace, self._give_up, attempt)

    def _give_up(self, attempt: Attempt) -> None:
        if attempt.task is None or attempt.reason is None:
            return
        attempt.is_stubborn = True
        self._emit(
            HandlerStubborn(task_id=attempt.id, type=attempt.spec.name, reason=attempt.reason.value)
        )
        if attempt.waiter is not None and not attempt.waiter.done():
            attempt.waiter.set_result(Retry("did not stop"))
        self._on_stubborn(attempt)


def _perform_here(function: Function, arguments: dict[str, Any]) -> Outcome | BaseException:
    """In a thread: nothing may be raised there, so an exception is a result too."""
    try:
        return outcome_of_value(function(**arguments))
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
        return error


def _timed_out(attempt: Attempt) -> str:
    return f"timed out after {attempt.lease.item.timeout_seconds:g} s"
