"""One attempt from its payload to what is written about it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from taskhub import Cancel, Fail, Job, Retry, Snooze, handler
from taskhub.attempts import Ended, Lost, Released, StopReason, Stubborn
from taskhub.model import Status
from taskhub.obs.telemetry import HandlerRaised
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt
from taskhub.work.executor import GRACE, Runner

from tests.unit.work.making import TASK, Heard, attempt, lease, running
from tests.virtual_clock import VirtualLoop
from tests.waiting import turns, until

REASONS = list(StopReason)
_variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="fresh")


@handler("job")
async def _waits() -> None:
    await asyncio.Event().wait()


async def _ended(function: Any, payload: Any = None, **more: Any) -> Ended:
    with running(function) as runner:
        return await runner.run(attempt(payload=payload, **more))


async def _stopped(runner: Runner, running_one: Attempt, reason: StopReason) -> tuple[Ended, float]:
    """What an attempt ends in that is told to stop once it runs, and how long that took."""
    task = asyncio.create_task(runner.run(running_one))
    await turns()
    loop = asyncio.get_running_loop()
    before = loop.time()
    runner.stop(running_one, reason)
    return await task, loop.time() - before


# ---- outcomes ----


@pytest.mark.parametrize("number", [1, 5])
async def test_a_result_is_stored_under_the_fence_of_the_claim(number: int) -> None:
    """Which attempt it was makes no difference."""

    @handler("job")
    async def answers(url: str) -> dict[str, str]:
        return {"url": url}

    ended = await _ended(answers, {"url": "x"}, attempt=number)

    assert ended == Finish(id=TASK, fence=7, status=Status.DONE, result=b'{"url":"x"}')


def _raiser(error: BaseException) -> Any:
    @handler("job")
    async def raises() -> None:
        raise error

    return raises


def _thread_raiser(error: BaseException) -> Any:
    @handler("job")
    def raises() -> None:
        raise error

    return raises


@pytest.mark.parametrize("make", [_raiser, _thread_raiser])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SystemExit(1),
        KeyboardInterrupt(),
        StopIteration(),
        asyncio.CancelledError(),
        TimeoutError(),
    ],
)
async def test_whatever_a_handler_raises_is_just_a_failed_attempt(
    make: Callable[[BaseException], Any], error: BaseException
) -> None:
    """The process, its loop and its threads live on: also when it asks to exit."""
    ended = await _ended(make(error))

    assert isinstance(ended, Finish)
    assert ended.status is Status.PENDING
    assert ended.run_at is not None
    assert ended.error


@pytest.mark.parametrize("make", [_raiser, _thread_raiser])
@pytest.mark.parametrize(
    ("error", "status", "refund"),
    [
        (Retry("r"), Status.PENDING, False),
        (Snooze(5, "s"), Status.PENDING, True),
        (Cancel("c"), Status.CANCELLED, False),
        (Fail("f"), Status.FAILED, False),
    ],
)
async def test_an_outcome_that_is_raised_is_stored_as_such(
    make: Callable[[BaseException], Any], error: BaseException, status: Status, refund: bool
) -> None:
    """And is no exception in the log."""
    ended = await _ended(make(error))

    assert isinstance(ended, Finish)
    assert (ended.status, ended.refund, ended.error) == (
        status,
        refund,
        error.args[0] if error.args else "s",
    )


async def test_the_last_attempt_that_fails_ends_the_task() -> None:
    """With the error of that attempt."""
    ended = await _ended(_raiser(ValueError("no")), attempt=5, max_attempts=5)

    assert isinstance(ended, Finish)
    assert (ended.status, ended.error) == (Status.FAILED, "ValueError: no")


async def test_an_exception_is_told_with_its_traceback_once() -> None:
    """The task keeps the short text; its author needs the lines."""
    heard = Heard()

    with running(_raiser(ValueError("no")), heard=heard) as runner:
        await runner.run(attempt())

    (event,) = heard.events
    assert isinstance(event, HandlerRaised)
    assert (event.task_id, event.attempt, event.error) == (TASK, 1, "ValueError: no")
    assert "in raises" in event.trace


async def test_a_payload_that_does_not_fit_never_reaches_the_handler() -> None:
    """It fails at once, whatever attempts are left."""
    ended = await _ended(_waits, {"surprise": 1})

    assert isinstance(ended, Finish)
    assert ended.status is Status.FAILED
    assert "wrong payload" in (ended.error or "")


async def test_a_type_without_a_handler_is_a_mistake_of_the_caller() -> None:
    """Only known types are claimed."""
    with running(_waits) as runner, pytest.raises(KeyError):
        await runner.run(attempt("unknown"))


# ---- where handlers run ----


async def test_a_def_runs_in_a_thread_of_ours_and_may_block() -> None:
    """The loop turns meanwhile; the thread is a daemon, so that it never holds up the exit."""
    go, seen = threading.Event(), []

    @handler("job")
    def blocks() -> str:
        seen.append(threading.current_thread())
        go.wait(10)
        return "done"

    with running(blocks) as runner:
        task = asyncio.create_task(runner.run(attempt()))
        await turns()
        go.set()
        ended = await task

    assert isinstance(ended, Finish)
    assert ended.result == b'"done"'
    assert seen[0].daemon
    assert seen[0].name.startswith("test-handler")


async def _async_setter() -> str:
    before = _variable.get()
    _variable.set("used")
    return before


def _thread_setter() -> str:
    before = _variable.get()
    _variable.set("used")
    return before


@pytest.mark.parametrize("function", [_async_setter, _thread_setter])
async def test_a_context_variable_does_not_leak_into_the_next_task(function: Any) -> None:
    """A request id or a tenant of one task must never show up in another's."""
    if not hasattr(function, "__taskhub__"):
        handler("job")(function)

    with running(function) as runner:
        ended = [await asyncio.create_task(runner.run(attempt())) for _ in range(3)]

    assert [end.result for end in ended if isinstance(end, Finish)] == [b'"fresh"'] * 3
    assert _variable.get() == "fresh"


async def test_an_attempt_counts_how_long_its_handler_ran(virtual_loop: VirtualLoop) -> None:
    """The histogram of durations is made of this."""

    @handler("job")
    async def sleeps() -> None:
        await asyncio.sleep(42)  # noqa: TID251 - virtual time

    one = attempt()
    with running(sleeps) as runner:
        await runner.run(one)

    assert one.seconds == pytest.approx(42)


# ---- being stopped ----


@pytest.mark.virtual_clock
async def test_a_handler_that_takes_too_long_is_cancelled_at_its_deadline() -> None:
    """And tried again, by the retry policy."""
    one = attempt(timeout=30)

    with running(_waits) as runner:
        ended = await runner.run(one)

    assert isinstance(ended, Finish)
    assert (ended.status, ended.error) == (Status.PENDING, "timed out after 30 s")
    assert one.seconds == pytest.approx(30, abs=0.05)


@pytest.mark.virtual_clock
async def test_each_of_many_attempts_ends_at_its_own_deadline() -> None:
    """There is one timer for all of them."""
    attempts = [attempt(timeout=seconds) for seconds in (5, 1, 3, 3, 10, 0.001)]

    with running(_waits) as runner:
        await asyncio.gather(*(runner.run(one) for one in attempts))

    seconds = [one.seconds for one in attempts]
    assert seconds == pytest.approx([5, 1, 3, 3, 10, 0.001], abs=0.05)


@pytest.mark.virtual_clock
async def test_a_short_attempt_does_not_leave_its_deadline_to_the_next() -> None:
    """The timer of the first is still there when the second runs."""

    @handler("quick")
    async def quick() -> None: ...

    second = attempt(timeout=7)
    with running(quick, _waits) as runner:
        await runner.run(attempt("quick", timeout=5))
        await runner.run(second)

    assert second.seconds == pytest.approx(7, abs=0.05)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (StopReason.CANCEL, Status.CANCELLED),
        (StopReason.TIMEOUT, Status.PENDING),
        (StopReason.LOST, Lost()),
        (StopReason.DRAIN, Released()),
    ],
)
async def test_what_is_written_follows_from_why_it_was_stopped(
    reason: StopReason, expected: object
) -> None:
    """Cancelled, another attempt, nothing at all, or given back unharmed."""
    with running(_waits) as runner:
        ended, _ = await _stopped(runner, attempt(), reason)

    assert (ended.status if isinstance(ended, Finish) else ended) == expected


@pytest.mark.parametrize("reason", REASONS)
async def test_an_attempt_that_is_stopped_before_it_began_never_begins(reason: StopReason) -> None:
    """A claim and the loss of its lease may come in one breath."""
    began = []

    @handler("job")
    async def begins() -> None:
        began.append(1)

    one = attempt()
    with running(begins) as runner:
        runner.stop(one, reason)
        ended = await runner.run(one)

    assert began == []
    assert not (isinstance(ended, Finish) and ended.status is Status.DONE)


@pytest.mark.parametrize("reason", REASONS)
async def test_a_stop_after_the_end_changes_nothing(reason: StopReason) -> None:
    """The outcome is on its way to the store."""

    @handler("job")
    async def quick() -> None: ...

    one = attempt()
    with running(quick) as runner:
        ended = await runner.run(one)
        runner.stop(one, reason)

    assert isinstance(ended, Finish)
    assert one.reason is None


@pytest.mark.parametrize("reason", REASONS)
async def test_work_that_was_done_in_spite_of_a_stop_counts_unless_the_lease_is_lost(
    reason: StopReason,
) -> None:
    """Else it would be done a second time."""

    @handler("job")
    async def finishes_anyway() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    with running(finishes_anyway) as runner:
        ended, _ = await _stopped(runner, attempt(), reason)

    if reason is StopReason.LOST:
        assert ended == Lost()
    else:
        assert isinstance(ended, Finish)
        assert (ended.status, ended.result) == (Status.DONE, b'"done"')


async def test_a_lease_lost_after_a_cancel_is_lost() -> None:
    """Whatever came before: nothing may be written under that fence."""
    one = attempt()
    with running(_waits) as runner:
        task = asyncio.create_task(runner.run(one))
        await turns()
        runner.stop(one, StopReason.CANCEL)
        runner.stop(one, StopReason.LOST)
        ended = await task

    assert ended == Lost()


async def test_a_cancellation_of_the_caller_goes_on_to_the_caller() -> None:
    """Its owner stops it from outside: that is no outcome of the handler."""
    with running(_waits) as runner:
        task = asyncio.create_task(runner.run(attempt()))
        await turns()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_our_cancellation_does_not_linger_in_the_caller() -> None:
    """What the caller awaits next must not be cancelled for it."""
    cancelling = []

    async def caller(runner: Runner, one: Attempt) -> None:
        await runner.run(one)
        cancelling.append(asyncio.current_task().cancelling())  # type: ignore[union-attr]
        await turns(1)

    one = attempt()
    with running(_waits) as runner:
        task = asyncio.create_task(caller(runner, one))
        await turns()
        runner.stop(one, StopReason.CANCEL)
        await task

    assert cancelling == [0]


async def test_a_handler_s_own_timeout_is_its_own() -> None:
    """Its `asyncio.timeout` works in it as anywhere."""

    @handler("job")
    async def gives_up() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "gave up"
        return "not"

    ended = await _ended(gives_up)

    assert isinstance(ended, Finish)
    assert ended.result == b'"gave up"'


async def test_a_handler_may_clean_up_when_it_is_cancelled(virtual_loop: VirtualLoop) -> None:
    """It has half of the grace undisturbed."""
    cleaned = []

    @handler("job")
    async def cleans() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(GRACE / 2 - 0.1)  # noqa: TID251 - virtual time
            cleaned.append(1)

    with running(cleans) as runner:
        ended, seconds = await _stopped(runner, attempt(), StopReason.DRAIN)

    assert ended == Released()
    assert cleaned == [1]
    assert seconds < GRACE


# ---- handlers that do not stop ----


class _Swallower:
    """A handler that ignores cancellations, until the test lets it go."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self.cancels, self.wait, self.is_free = 0, wait, False

    def handler(self) -> Any:
        @handler("job")
        async def swallows() -> None:
            while not self.is_free:
                try:
                    await self.wait()
                except BaseException:  # noqa: BLE001 - that is the fault
                    self.cancels += 1

        return swallows


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        (StopReason.TIMEOUT, "timed out after 3600 s and did not stop"),
        (StopReason.LOST, None),
        (StopReason.DRAIN, None),
    ],
)
async def test_a_coroutine_that_swallows_its_cancellation_is_let_go_of(
    reason: StopReason, written: str | None, virtual_loop: VirtualLoop
) -> None:
    """After the grace its worker knows, and can be replaced."""
    swallower = _Swallower(lambda: asyncio.Event().wait())
    one = attempt()

    with running(swallower.handler()) as runner:
        ended, seconds = await _stopped(runner, one, reason)

    assert isinstance(ended, Stubborn)
    assert (ended.reason, ended.finish and ended.finish.error) == (reason, written)
    assert seconds == pytest.approx(GRACE, abs=0.1)
    assert swallower.cancels == 3  # told, told again, closed
    swallower.is_free = True


async def test_so_is_one_that_waits_for_a_task_that_swallows(virtual_loop: VirtualLoop) -> None:
    """A task that ignores its cancellation leaves whoever awaits it hanging."""
    swallower = _Swallower(lambda: asyncio.Event().wait())
    inner: list[asyncio.Task[None]] = []

    @handler("job")
    async def awaits() -> None:
        inner.append(asyncio.create_task(swallower.handler()()))
        await inner[0]

    with running(awaits) as runner:
        ended, seconds = await _stopped(runner, attempt(), StopReason.TIMEOUT)

    assert isinstance(ended, Stubborn)
    assert seconds == pytest.approx(GRACE, abs=0.1)
    swallower.is_free = True
    inner[0].cancel()
    await asyncio.wait(inner)


async def test_a_handler_that_waits_for_its_own_tasks_is_cancelled_with_them() -> None:
    """The way of a cancellation through tasks is the same as everywhere."""
    ends = []

    async def part() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(1)

    @handler("job")
    async def gathers() -> None:
        one = asyncio.create_task(part())
        await turns(2)
        async with asyncio.TaskGroup() as group:
            group.create_task(part())
            await asyncio.gather(part(), one)

    with running(gathers) as runner:
        ended, _ = await _stopped(runner, attempt(), StopReason.DRAIN)

    assert ended == Released()
    assert ends == [1, 1, 1]


async def test_a_result_passes_through_inner_tasks() -> None:
    """Tasks, plain futures, bare turns of the loop: all that can be awaited."""

    async def part(number: int) -> int:
        await turns(number)
        return number

    @handler("job")
    async def adds() -> int:
        task = asyncio.create_task(part(1))
        return sum([await task, *await asyncio.gather(part(2), part(0))])

    ended = await _ended(adds)

    assert isinstance(ended, Finish)
    assert ended.result == b"3"


async def test_an_error_of_an_inner_task_is_raised_where_it_is_awaited() -> None:
    """The handler may catch it."""

    async def fails() -> None:
        raise ValueError("inner")

    @handler("job")
    async def catches() -> str:
        try:
            await asyncio.create_task(fails())
        except ValueError as error:
            return str(error)
        return ""

    ended = await _ended(catches)

    assert isinstance(ended, Finish)
    assert ended.result == b'"inner"'


async def test_a_cancel_is_a_wish_that_the_deadline_enforces(virtual_loop: VirtualLoop) -> None:
    """Any client may cancel its task; that alone must not cost a worker process."""
    swallower = _Swallower(lambda: asyncio.Event().wait())
    one = attempt(timeout=100)

    with running(swallower.handler()) as runner:
        ended, seconds = await _stopped(runner, one, StopReason.CANCEL)

    assert isinstance(ended, Stubborn)
    assert ended.finish is not None
    assert ended.finish.status is Status.CANCELLED
    assert seconds == pytest.approx(100 + GRACE, abs=0.1)
    swallower.is_free = True


async def test_a_thread_that_does_not_stop_is_left_behind() -> None:
    """Nothing can stop a thread, but its worker can be replaced; it sees what is wanted of it."""
    go, seen = threading.Event(), []

    @handler("job")
    def blocks(job: Job) -> None:
        go.wait(10)
        seen.append(job.cancelled)

    with running(blocks, grace=0.01) as runner:
        ended, _ = await _stopped(runner, attempt(timeout=0.5), StopReason.TIMEOUT)
        go.set()

    assert isinstance(ended, Stubborn)
    assert ended.finish is not None
    assert ended.finish.error == "timed out after 0.5 s and did not stop"
    await until(lambda: seen == [True])


async def test_a_thread_that_looks_at_cancelled_stops_in_time() -> None:
    """That is how a `def` handler that runs long is meant to be written."""
    begun = threading.Event()

    @handler("job")
    def looks(job: Job) -> None:
        begun.set()
        while not job.cancelled:
            begun.wait(0.001)
        raise RuntimeError("half done")

    one = attempt()
    with running(looks) as runner:
        task = asyncio.create_task(runner.run(one))
        await asyncio.to_thread(begun.wait, 5)
        runner.stop(one, StopReason.DRAIN)

        assert await task == Released()


# ---- the deadline that the keeper judges a blocked loop by ----


async def test_the_earliest_deadline_is_that_of_what_runs_in_the_loop() -> None:
    """A thread past its deadline does not block the loop; what has ended blocks nothing."""
    go = threading.Event()

    @handler("thread")
    def blocks() -> None:
        go.wait(10)

    first, second, third = attempt(timeout=50), attempt(timeout=60), attempt("thread", timeout=10)
    with running(_waits, blocks) as runner:
        assert runner.earliest_deadline() == float("inf")
        tasks = [asyncio.create_task(runner.run(one)) for one in (first, second, third)]
        await turns()
        assert runner.earliest_deadline() == first.deadline
        runner.stop(first, StopReason.DRAIN)
        await tasks[0]
        assert runner.earliest_deadline() == second.deadline
        go.set()
        runner.stop(second, StopReason.DRAIN)
        await asyncio.wait(tasks)


async def test_whose_handler_has_the_loop_is_known_to_other_threads() -> None:
    """The keeper names it when it blocks; who only waits has not got the loop."""
    told: list[tuple[str, str]] = []
    here: list[Callable[[], tuple[str, str]]] = []

    @handler("greedy")
    async def greedy() -> None:
        with ThreadPoolExecutor(1) as other:
            told.append(other.submit(here[0]).result(10))

    waiting, blocking = attempt(timeout=50), attempt("greedy")
    with running(_waits, greedy) as runner:
        here.append(runner.doing)
        task = asyncio.create_task(runner.run(waiting))
        await turns()
        assert runner.doing() == ("", "")
        await runner.run(blocking)
        runner.stop(waiting, StopReason.DRAIN)
        await task

    assert told == [("greedy", blocking.id)]


def test_a_lease_s_payload_is_what_the_client_sent() -> None:
    """The maker of these tests, under test itself: it would hide a wrong conversion."""
    assert json.loads(bytes(lease(payload={"a": 1}).item.payload)) == {"a": 1}
