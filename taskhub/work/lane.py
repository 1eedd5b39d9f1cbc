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
from taskhub.work.wire import Answer, Over, Ready, Reported, Told

CANCEL_GRACE = 1.0
"""Seconds a cancelled handler has: unlike a thread, its process can be killed without harm."""

LATE = 1.0
"""Seconds after deadline and grace in which the processor itself must have told of it."""


class ProcessorLane:
    """As `Runner`, in a child process that is started for the first attempt and stopped when idle.

    One attempt runs in it at a time, the others wait in it. A handler that does not stop is killed
    with its process, and one that dies by itself is a failed attempt of that task alone: the one
    that ran stays a suspect, those that waited lose nothing.
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
        self._homes: dict[Attempt, tuple[Processor, int]] = {}
        self._began = 0.0
        """When the attempt that runs has begun."""
        self._limit: asyncio.TimerHandle | None = None
        """One for all, never later than when the one that runs is killed at the latest."""
        self._living: set[Processor] = set()
        self._current: Processor | None = None
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def run(self, attempt: Attempt) -> Ended:
        """Run the handler to its end, or until it is stopped; it never stays behind.

        Raises only a cancellation of the caller; then the processor is killed.
        """
        while (ended := await self.perform(attempt)) is None:
            pass
        return ended

    async def perform(self, attempt: Attempt) -> Ended | None:
        """As `run`, until the attempt is given back: it has not begun, and may begin elsewhere."""
        mark = self._registry[attempt.lease.item.type].mark
        loop = asyncio.get_running_loop()
        attempt.waiter = loop.create_future()
        attempt.started, attempt.deadline = loop.time(), 0.0
        attempt.stopper, attempt.is_running = self._interrupt, True
        try:
            end = await self._sent(attempt)
        finally:
            self._leave(attempt)
        if isinstance(end, Retry):
            outcome = _ruled(attempt, end, mark.on_error)
            return _as_suspect(conclude(attempt, outcome, mark.backoff, self._rng))
        return Lost() if end is not None and attempt.reason is StopReason.LOST else end

    def stop(self, attempt: Attempt, reason: StopReason) -> None:
        """As `Attempt.stop`."""
        attempt.stop(reason)

    def is_quicker_than(self, seconds: float) -> bool:
        """Whether it is up, and is not at one attempt for so long already."""
        current = self._current
        if current is None or current.is_dying or not current.is_ready:
            return False
        return not current.inflight or asyncio.get_running_loop().time() - self._began < seconds

    def take_back(self, processor: Processor | None = None) -> None:
        """Give back what has not begun; where it stands, that would have to wait too long."""
        if processor := processor or self._current:
            for attempt in processor.take_back():
                _answer(attempt, None)

    async def close(self) -> None:
        """End every processor, at once (an idle one may say goodbye); may be called twice."""
        for timer in (self._idle, self._limit):
            if timer is not None:
                timer.cancel()
        for processor in (living := list(self._living)):
            for attempt in processor.inflight.values():
                attempt.reason = attempt.reason or StopReason.DRAIN
            if processor.inflight or not (self._spec.says_goodbye and processor.is_ready):
                processor.kill("its worker ends")
            elif not processor.is_dying:
                processor.hang_up()
        for processor in living:
            await processor.dead()

    # ---- one attempt ----

    async def _sent(self, attempt: Attempt) -> Ended | Retry | None:
        if attempt.reason is not None:
            return Retry("stopped before it began")
        try:
            processor = await self._processor()
        except OSError as error:
            return Retry(f"its processor could not be started: {error.strerror}")
        if attempt.reason is not None:
            return Retry("stopped before it began")
        self._homes[attempt] = processor, processor.order(attempt)
        if processor.is_ready and processor.head is attempt:
            self._begin(attempt)
        assert attempt.waiter is not None
        end: Ended | Retry | None = await attempt.waiter
        return end

    def _begin(self, attempt: Attempt | None) -> None:
        """The next handler's time begins (None: there is nothing to do)."""
        if attempt is None:
            return
        self._began = attempt.started = asyncio.get_running_loop().time()
        attempt.deadline = attempt.started + attempt.lease.item.timeout_seconds
        self._watch(attempt)

    def _watch(self, attempt: Attempt) -> None:
        latest = attempt.deadline + self._spec.grace + LATE
        if self._limit is None or self._limit.when() > latest:
            if self._limit is not None:
                self._limit.cancel()
            self._limit = asyncio.get_running_loop().call_at(latest, self._look)

    def _look(self) -> None:
        self._limit = None
        if self._current is None or (head := self._current.head) is None or not head.deadline:
            return
        if asyncio.get_running_loop().time() < head.deadline + self._spec.grace + LATE:
            self._watch(head)
            return
        if head.reason is None:
            head.reason = StopReason.TIMEOUT
        self._kill(head)

    def _leave(self, attempt: Attempt) -> None:
        attempt.is_running, attempt.stopper = False, None
        processor, number = self._homes.pop(attempt, (None, 0))
        if processor is not None and number in processor.inflight:
            self.take_back(processor)
            if processor.inflight.pop(number, None) is not None:
                processor.kill("nobody waits for its task any more", attempt)
        attempt.waiter = None
        self._rest()

    def _interrupt(self, attempt: Attempt) -> None:
        processor, number = self._homes.get(attempt, (None, 0))
        if processor is None or attempt.reason is None:
            return
        self.take_back(processor)
        if number in processor.inflight:
            processor.halt(number, attempt.reason)
            grace = self._spec.grace if attempt.is_ordered else CANCEL_GRACE
            asyncio.get_running_loop().call_later(grace, self._kill, attempt)

    def _kill(self, attempt: Attempt) -> None:
        processor, number = self._homes.get(attempt, (None, 0))
        if processor is not None and number in processor.inflight:
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
                self._begin(processor.head)
            case Told():
                for event in (answer.said, answer.raised):
                    if event is not None:
                        self._emit(event)
            case Reported():
                self._on_progress(answer.reports)
            case Over():
                self._on_over(processor, answer)

    def _on_over(self, processor: Processor, over: Over) -> None:
        attempt = processor.inflight.get(over.number)
        if attempt is None:
            return
        if isinstance(over.ended, Stubborn):
            attempt.reason = attempt.reason or over.ended.reason
            self._kill(attempt)
            return
        del processor.inflight[over.number]
        attempt.started = asyncio.get_running_loop().time() - over.seconds
        _answer(attempt, over.ended)
        self._begin(processor.head)

    def _on_gone(self, processor: Processor, how: str) -> None:
        self._living.discard(processor)
        if self._current is processor:
            self._current = None
        waiting = processor.take_back()
        began = list(processor.inflight.values())
        processor.inflight.clear()
        if not (began or processor.culprit) and waiting:
            began.append(waiting.pop())  # so that what no processor survives comes to an end
        for attempt in began:
            if processor.culprit not in (None, attempt):
                attempt.reason = attempt.reason or StopReason.DRAIN
            _answer(attempt, Retry(_epitaph(attempt, processor, how)))
        for attempt in waiting:
            _answer(attempt, None)

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


def _answer(attempt: Attempt, end: Ended | Retry | None) -> None:
    if end is not None:
        attempt.ended = asyncio.get_running_loop().time()
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


def _epitaph(attempt: Attempt, processor: Processor, how: str) -> str:
    if attempt.reason is StopReason.TIMEOUT:
        return f"timed out after {attempt.lease.item.timeout_seconds:g} s and was killed"
    if not processor.is_ready:
        return f"its processor did not get ready ({how})"
    return f"its process died ({how})"
