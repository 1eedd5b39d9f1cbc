"""Runs attempts in processors, where what they do to their process hurts nobody else."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec

from taskhub.attempts import Ended, Lost, StopReason, Stubborn
from taskhub.failures import PROCESS_DIED, TIMED_OUT, cause_of
from taskhub.model import Outcome, Retry
from taskhub.obs.telemetry import Emit
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt
from taskhub.work.concluding import conclude
from taskhub.work.processor import Listeners, Processor, ProcessorSpec
from taskhub.work.registry import Registry
from taskhub.work.reports import Deliver
from taskhub.work.rules import Rules, ruled
from taskhub.work.wire import Answer, Begun, Halt, Over, Ready, Reported, Told, run_order

CANCEL_GRACE = 1.0
"""Seconds a cancelled handler has: unlike a thread, its process can be killed without harm."""

LATE = 1.0
"""Seconds after deadline and grace in which the processor itself must have told of it."""


class ProcessorLane:
    """As `Runner`, in a child process that is started for the first attempt and stopped when idle.

    A handler that does not stop is killed with its process; attempts that run beside it in there
    are given back unharmed. One that dies by itself is a failed attempt of all that ran in it, and
    they stay suspects.
    """

    def __init__(
        self,
        registry: Registry,
        spec: ProcessorSpec,
        emit: Emit,
        *,
        on_progress: Deliver,
        rng: Random | None = None,
    ) -> None:
        self._registry, self._spec, self._emit = registry, spec, emit
        self._on_progress = on_progress
        self._rng = rng or Random()  # noqa: S311 - jitter is no key
        self._listeners = Listeners(self._on_answer, self._on_gone)
        self._homes: dict[Attempt, Processor] = {}
        self._limits: dict[Attempt, asyncio.TimerHandle] = {}
        """When each is killed at the latest; a timer that outlives its task keeps its payload."""
        self._living: set[Processor] = set()
        self._current: Processor | None = None
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def run(self, attempt: Attempt) -> Ended:
        """Run the handler to its end, or until it is stopped; it never stays behind.

        Raises only a cancellation of the caller; then the processor is killed.
        """
        mark = self._registry[attempt.lease.item.type].mark
        attempt.waiter = asyncio.get_running_loop().create_future()
        attempt.stopper, attempt.is_running = self._interrupt, True
        self._count_from_now(attempt)
        try:
            end = await self._sent(attempt)
        finally:
            self._leave(attempt)
        if isinstance(end, Retry):
            outcome = _ruled(attempt, end, mark.on_error)
            return _as_suspect(conclude(attempt, outcome, mark.backoff, self._rng))
        return Lost() if attempt.reason is StopReason.LOST else end

    def stop(self, attempt: Attempt, reason: StopReason) -> None:
        """As `Attempt.stop`."""
        attempt.stop(reason)

    async def close(self) -> None:
        """End every processor, at once; may be called twice."""
        if self._idle is not None:
            self._idle.cancel()
        for processor in (living := list(self._living)):
            for attempt in processor.inflight.values():
                attempt.reason = attempt.reason or StopReason.DRAIN
            processor.kill("its worker ends")
        for processor in living:
            await processor.dead()

    # ---- one attempt ----

    async def _sent(self, attempt: Attempt) -> Ended | Retry:
        if attempt.reason is not None:
            return Retry("stopped before it began")
        try:
            processor = await self._processor()
        except OSError as error:
            return Retry(f"its processor could not be started: {error.strerror}")
        if attempt.reason is not None:
            return Retry("stopped before it began")
        self._homes[attempt] = processor
        processor.inflight[attempt.id] = attempt
        processor.send(run_order(attempt.lease))
        if processor.is_ready:
            self._begin(attempt)
        assert attempt.waiter is not None
        end: Ended | Retry = await attempt.waiter
        return end

    def _begin(self, attempt: Attempt) -> None:
        """The processor is there: its handler's time begins."""
        self._count_from_now(attempt)
        latest = attempt.deadline + self._spec.grace + LATE
        self._forget_limit(attempt)
        loop = asyncio.get_running_loop()
        self._limits[attempt] = loop.call_at(latest, self._overdue, attempt)

    def _forget_limit(self, attempt: Attempt) -> None:
        if (limit := self._limits.pop(attempt, None)) is not None:
            limit.cancel()

    def _count_from_now(self, attempt: Attempt) -> None:
        attempt.started = asyncio.get_running_loop().time()
        attempt.deadline = attempt.started + attempt.lease.item.timeout_seconds

    def _leave(self, attempt: Attempt) -> None:
        attempt.is_running, attempt.stopper = False, None
        attempt.ended = asyncio.get_running_loop().time()
        self._forget_limit(attempt)
        processor = self._homes.pop(attempt, None)
        if processor is not None and processor.inflight.pop(attempt.id, None) is not None:
            processor.kill("nobody waits for its task any more", attempt)
        attempt.waiter = None
        self._rest()

    def _interrupt(self, attempt: Attempt) -> None:
        processor, reason = self._homes.get(attempt), attempt.reason
        if processor is None or reason is None:
            return
        processor.send(Halt(attempt.id, reason))
        grace = self._spec.grace if attempt.is_ordered else CANCEL_GRACE
        asyncio.get_running_loop().call_later(grace, self._kill, attempt)

    def _overdue(self, attempt: Attempt) -> None:
        if attempt.is_running and attempt.reason is None:
            attempt.reason = StopReason.TIMEOUT
        self._kill(attempt)

    def _kill(self, attempt: Attempt) -> None:
        processor = self._homes.get(attempt)
        if processor is not None and attempt.id in processor.inflight:
            processor.kill(f"a task did not stop ({attempt.reason})", attempt)

    # ---- processors ----

    async def _processor(self) -> Processor:
        async with self._starting:
            if self._current is None or self._current.is_dying:
                self._current = await Processor.start(self._spec, self._listeners, self._emit)
                self._living.add(self._current)
            return self._current

    def _on_answer(self, processor: Processor, answer: Answer) -> None:
        match answer:
            case Ready():
                for attempt in processor.inflight.values():
                    self._begin(attempt)
            case Begun():
                processor.begun.add(answer.id)
            case Told():
                for event in (answer.said, answer.raised):
                    if event is not None:
                        self._emit(event)
            case Reported():
                self._on_progress(answer.reports)
            case Over():
                self._on_over(processor, answer)

    def _on_over(self, processor: Processor, over: Over) -> None:
        attempt = processor.inflight.get(over.id)
        if attempt is None:
            return
        if isinstance(over.ended, Stubborn):
            attempt.reason = attempt.reason or over.ended.reason
            self._kill(attempt)
            return
        del processor.inflight[over.id]
        processor.begun.discard(over.id)
        _answer(attempt, over.ended)

    def _on_gone(self, processor: Processor, how: str) -> None:
        self._living.discard(processor)
        if self._current is processor:
            self._current = None
        for attempt in processor.inflight.values():
            if _is_innocent(attempt, processor):
                attempt.reason = attempt.reason or StopReason.DRAIN
            _answer(attempt, Retry(_epitaph(attempt, processor, how)))
        processor.inflight.clear()

    def _rest(self) -> None:
        """With nothing to do, wait for a while and then let the processor go."""
        if self._idle is not None:
            self._idle.cancel()
        if self._current is not None and not self._current.inflight:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._spec.idle, self._dismiss, self._current)

    def _dismiss(self, processor: Processor) -> None:
        if not processor.inflight and self._current is processor:
            self._current = None
            processor.hang_up()


def _answer(attempt: Attempt, end: Ended | Retry) -> None:
    if attempt.waiter is not None and not attempt.waiter.done():
        attempt.waiter.set_result(end)


def _ruled(attempt: Attempt, end: Retry, rules: Rules) -> Outcome:
    """What follows from its death; one that was killed for its time counts as a TimeoutError."""
    is_late = attempt.reason is StopReason.TIMEOUT
    name = TIMED_OUT if is_late else PROCESS_DIED
    attempt.cause = cause_of(attempt.lease.item.type, name)
    if not is_late:
        return end
    outcome, attempt.backoff = ruled(rules, TimeoutError(end.reason), end.reason)
    return outcome


def _as_suspect(ended: Ended) -> Ended:
    """What cost a process its life runs alone the next time, too."""
    return msgspec.structs.replace(ended, suspect=True) if isinstance(ended, Finish) else ended


def _is_innocent(attempt: Attempt, processor: Processor) -> bool:
    """Whether it had not begun, or only stood beside the one for whose sake we killed it.

    Where nothing had begun, the first in the line is blamed: it may be what the processor died of
    (an order that it cannot read), and given back unharmed it would come again for ever.
    """
    if processor.culprit is not None:
        return processor.culprit is not attempt
    if not processor.is_ready or attempt.id in processor.begun:
        return False
    return bool(processor.begun) or attempt is not next(iter(processor.inflight.values()))


def _epitaph(attempt: Attempt, processor: Processor, how: str) -> str:
    if attempt.reason is StopReason.TIMEOUT:
        return f"timed out after {attempt.lease.item.timeout_seconds:g} s and was killed"
    if not processor.is_ready:
        return f"its processor did not get ready ({how})"
    return f"its process died ({how})"
