"""Runs one attempt, from its payload to what is to be written about it; knows no store."""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from taskhub.attempts import Ended, StopReason
from taskhub.failures import TIMED_OUT, TRACE_LIMIT, cause_of
from taskhub.model import Outcome, Retry
from taskhub.obs.telemetry import Emit, HandlerRaised, Telemetry
from taskhub.policy import RESULT_LIMIT
from taskhub.work.attempt import Attempt
from taskhub.work.concluding import conclude
from taskhub.work.deadlines import Deadlines
from taskhub.work.job import Job
from taskhub.work.leash import leashed
from taskhub.work.outcome import error_text, outcome_of_error, outcome_of_value, trace_text
from taskhub.work.registry import HandlerSpec, Registry
from taskhub.work.reports import Deliver, Reports
from taskhub.work.rules import alone, place_of, ruled
from taskhub.work.signature import Function
from taskhub.work.threads import Threads

GRACE = 5.0
"""Seconds that a handler has to end in after it was told to stop."""

PROGRESS_EVERY = 1.0
"""Seconds between two deliveries of progress at most."""


class Runner:
    """Runs attempts: an `async def` in this loop, a `def` in `threads`.

    `on_progress` gets what handlers report, at most once a second and before their end. All
    methods belong to the loop in which the runner was made, where nothing else is said.
    """

    def __init__(
        self,
        registry: Registry,
        threads: Threads,
        emit: Emit,
        *,
        on_progress: Deliver,
        result_limit: Callable[[], int] = lambda: RESULT_LIMIT,
        grace: float = GRACE,
        rng: Random | None = None,
    ) -> None:
        self.registry, self._result_limit = registry, result_limit
        self._threads, self._emit, self._grace = threads, emit, grace
        self._rng = rng or Random()  # noqa: S311 - jitter is no key
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._deadlines = Deadlines(self._loop, _expire)
        self._reports = Reports(self._loop, PROGRESS_EVERY, on_progress)

    async def run(self, attempt: Attempt) -> Ended:
        """Run the handler to its end, or until `stop` and its grace; never longer.

        A `def` handler that is stopped sees `job.cancelled`; a coroutine is cancelled, and once
        more after half the grace. Raises nothing but a stranger's cancellation (the caller's own
        task was cancelled, and not by `stop`), and KeyError for a type without a handler.
        """
        spec = self.registry[attempt.lease.item.type]
        self._enter(attempt)
        try:
            outcome = await self._perform(attempt, spec)
        finally:
            self._leave(attempt)
        return conclude(attempt, outcome, spec.mark.backoff, self._rng)

    def stop(self, attempt: Attempt, reason: StopReason) -> None:
        """As `Attempt.stop`."""
        attempt.stop(reason)

    def earliest_deadline(self) -> float:
        """Of all handlers that could block the loop, from any thread (infinite: none runs)."""
        return self._deadlines.earliest_in_loop()

    def doing(self) -> tuple[str, str]:
        """The type and the task whose handler has the loop at this moment; from any thread."""
        attempt = self._deadlines.run_by(asyncio.current_task(self._loop))
        return ("", "") if attempt is None else (attempt.lease.item.type, attempt.id)

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
        attempt.task, attempt.stopper = asyncio.current_task(self._loop), self._interrupt
        attempt.started = self._loop.time()
        attempt.deadline = attempt.started + attempt.lease.item.timeout_seconds
        attempt.is_running = True
        self._deadlines.watch(attempt)

    async def _perform(self, attempt: Attempt, spec: HandlerSpec) -> Outcome:
        if attempt.reason is not None:
            return Retry("stopped before it began")
        signature = spec.signature
        try:
            arguments = signature.arguments(attempt.lease.item.payload)
            if signature.job is not None:
                arguments[signature.job] = Job(attempt, self)
            if spec.is_async:
                value = await leashed(spec.function(**arguments), attempt)
                return outcome_of_value(value, self._result_limit())
            return await self._perform_in_thread(attempt, spec, arguments)
        except CancelledError as error:
            return self._cancelled(attempt, error)
        except GeneratorExit:  # the loop is gone, and this coroutine with it
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
            return self._raised(attempt, error)

    async def _perform_in_thread(
        self, attempt: Attempt, spec: HandlerSpec, arguments: dict[str, Any]
    ) -> Outcome:
        perform = partial(_perform_here, spec.function, arguments, self._result_limit())
        attempt.waiter = self._threads.call(perform)
        result: Outcome | BaseException = await attempt.waiter
        return self._raised(attempt, result) if isinstance(result, BaseException) else result

    def _leave(self, attempt: Attempt) -> None:
        attempt.is_running, attempt.ended = False, self._loop.time()
        self._deadlines.forget(attempt)
        self._reports.flush(attempt)
        if attempt.cancels:
            _take_back_cancels(attempt)
        attempt.task = attempt.waiter = attempt.stopper = None

    # ---- how handlers fail and are stopped ----

    def _raised(self, attempt: Attempt, error: BaseException) -> Outcome:
        outcome = outcome_of_error(error)
        if outcome is error:
            self._note(attempt, error)
            return outcome
        text, trace = error_text(error), trace_text(error)
        self._emit(
            HandlerRaised(
                task_id=attempt.id,
                type=attempt.lease.item.type,
                attempt=attempt.number,
                error=text,
                trace=trace,
            )
        )
        if attempt.reason is StopReason.TIMEOUT:
            return self._late(attempt, f"{_timed_out(attempt)}; then {text}", trace)
        self._note(attempt, error, trace)
        return Retry(text) if attempt.reason else self._ruled(attempt, error, text)

    def _stopped(self, attempt: Attempt, trace: str = "") -> Outcome:
        """It was told to stop and did, or does not: only its time blames it."""
        if attempt.reason is not StopReason.TIMEOUT:
            return Retry("stopped while it ran")
        return self._late(attempt, _timed_out(attempt), trace)

    def _late(self, attempt: Attempt, text: str, trace: str) -> Outcome:
        """As if it had raised TimeoutError itself."""
        attempt.cause = cause_of(attempt.lease.item.type, TIMED_OUT, trace=trace[-TRACE_LIMIT:])
        return self._ruled(attempt, TimeoutError(text), text)

    def _ruled(self, attempt: Attempt, error: BaseException, text: str) -> Outcome:
        rules = self.registry[attempt.lease.item.type].mark.on_error
        outcome, attempt.backoff = ruled(rules, error, text)
        return outcome

    def _note(self, attempt: Attempt, error: BaseException, trace: str = "") -> None:
        """What it has failed of, for those who look for failures like it."""
        kind = attempt.lease.item.type
        place = place_of(error, self.registry[kind].function.__module__)
        attempt.cause = cause_of(kind, type(alone(error)).__name__, place, trace[-TRACE_LIMIT:])

    def _cancelled(self, attempt: Attempt, error: CancelledError) -> Outcome:
        """Whose cancellation was it? Ours, our caller's (then it goes on), or the handler's own."""
        _take_back_cancels(attempt)
        if attempt.task is not None and attempt.task.cancelling():
            raise error
        if attempt.reason is None:
            return self._raised(attempt, error)
        return self._stopped(attempt, trace_text(error))

    def _interrupt(self, attempt: Attempt) -> None:
        _cancel(attempt)
        if attempt.is_ordered:
            self._loop.call_later(self._grace / 2, _cancel, attempt)
            self._loop.call_later(self._grace, self._give_up, attempt)

    def _give_up(self, attempt: Attempt) -> None:
        """The grace is over: end the wait for the handler, whatever it does."""
        waiter = attempt.waiter
        if not attempt.is_running or (waiter is not None and waiter.done()):
            return
        attempt.is_stubborn = True
        if waiter is None:
            _cancel(attempt)
        else:
            waiter.set_result(self._stopped(attempt))


def _perform_here(
    function: Function, arguments: dict[str, Any], limit: int
) -> Outcome | BaseException:
    """In a thread: nothing may be raised there, so an exception is a result too."""
    try:
        return outcome_of_value(function(**arguments), limit)
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
        return error


def _expire(attempt: Attempt) -> None:
    attempt.stop(StopReason.TIMEOUT)


def _cancel(attempt: Attempt) -> None:
    if attempt.is_running and attempt.task is not None and attempt.waiter is None:
        attempt.cancels += 1
        attempt.task.cancel()


def _take_back_cancels(attempt: Attempt) -> None:
    while attempt.cancels and attempt.task is not None:
        attempt.cancels -= 1
        attempt.task.uncancel()


def _timed_out(attempt: Attempt) -> str:
    text = f"timed out after {attempt.lease.item.timeout_seconds:g} s"
    return f"{text} and did not stop" if attempt.is_stubborn else text
