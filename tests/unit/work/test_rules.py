"""What an exception means: the rules beside a handler, the place, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from taskhub import Backoff, Cancel, Fail, Retry, Snooze, handler
from taskhub.errors import ConfigProblem
from taskhub.failures import cause_of
from taskhub.model import Status
from taskhub.ports import Finish
from taskhub.work.rules import Rules, place_of, ruled

from tests.unit.work.making import attempt, running

HOME = "tests.unit.work.test_rules"


class Limited(Exception):
    """Says when to come again."""

    after = 90.0


async def finish(rules: Any, error: BaseException, **more: Any) -> Finish:
    """What is written of a handler that raises this."""

    @handler("job", on_error=rules, backoff=Backoff(base=1, jitter=0))
    async def job() -> None:
        raise error

    one = attempt(**more)
    with running(job) as runner:
        ended = await runner.run(one)
    assert isinstance(ended, Finish)
    return ended


def pause(finish: Finish) -> float:
    """Seconds until it comes again, nearly."""
    from datetime import UTC, datetime

    assert finish.run_at is not None
    return round((finish.run_at - datetime.now(UTC)) / timedelta(seconds=1))


@pytest.mark.parametrize(
    ("rule", "status", "refund"),
    [
        (Fail, Status.FAILED, False),
        (Cancel, Status.CANCELLED, False),
        (Retry(in_seconds=30), Status.PENDING, False),
        (Snooze(30), Status.PENDING, True),
        (Backoff(base=30, jitter=0), Status.PENDING, False),
        (lambda _: Fail("said so"), Status.FAILED, False),
        (lambda _: None, Status.PENDING, False),
    ],
)
async def test_a_rule_says_what_becomes_of_the_task(
    rule: Any, status: Status, refund: bool
) -> None:
    """Another attempt is not always what helps."""
    ended = await finish({ValueError: rule}, ValueError("no"))

    assert (ended.status, ended.refund) == (status, refund)
    assert ended.error in {"ValueError: no", "said so"}
    if not isinstance(rule, type) and isinstance(rule, Retry | Snooze | Backoff):
        assert pause(ended) == 30


async def test_a_function_may_read_the_exception() -> None:
    """Such as the Retry-After of an answer."""
    ended = await finish({Limited: lambda error: Retry(in_seconds=error.after)}, Limited("slow"))

    assert pause(ended) == 90
    assert ended.error == "Limited: slow"


async def test_a_function_that_raises_changes_nothing() -> None:
    """The task is tried again by the usual policy, and the error says so."""

    def rule(error: BaseException) -> Fail:
        raise KeyError(error)

    ended = await finish({ValueError: rule}, ValueError("no"))

    assert ended.status is Status.PENDING
    assert ended.error == "ValueError: no (and its rule has raised KeyError)"


def test_the_nearest_class_counts() -> None:
    """As with `except`, whatever the order of the rules."""
    rules: Rules = {OSError: Fail, ConnectionError: Cancel, Exception: Snooze(1)}

    found = [
        type(ruled(rules, error, "").outcome)
        for error in (
            ConnectionResetError(),
            FileNotFoundError(),
            ValueError(),
            KeyboardInterrupt(),
        )
    ]

    assert found == [Cancel, Fail, Snooze, Retry]


def test_a_group_of_one_counts_as_that_one() -> None:
    """A TaskGroup wraps what its task has raised."""
    inner = ExceptionGroup("inner", [ValueError("no")])

    assert isinstance(ruled({ValueError: Fail}, ExceptionGroup("outer", [inner]), "").outcome, Fail)


async def test_an_outcome_that_is_raised_is_no_exception() -> None:
    """The handler has decided already."""
    ended = await finish({Exception: Fail}, Retry("later", in_seconds=5))

    assert (ended.status, ended.error) == (Status.PENDING, "later")


@pytest.mark.virtual_clock
async def test_a_timeout_is_a_timeout_error() -> None:
    """Some tasks are worth nothing once they are late."""
    import asyncio

    @handler("job", on_error={TimeoutError: Fail})
    async def job() -> None:
        await asyncio.get_running_loop().create_future()

    with running(job) as runner:
        ended = await runner.run(attempt(timeout=2.0))

    assert isinstance(ended, Finish)
    assert (ended.status, ended.error) == (Status.FAILED, "timed out after 2 s")
    assert ended.cause is not None
    assert ended.cause.fingerprint == cause_of("job", "TimeoutError").fingerprint
    assert "in job" in ended.cause.trace


async def test_the_tasks_own_backoff_goes_before_the_handlers_and_a_rules_before_both() -> None:
    """What knows more about this failure decides."""
    one = attempt()
    item = msgspec.structs.replace(one.lease.item, backoff=Backoff(base=60, jitter=0))

    @handler("job", on_error={ValueError: Backoff(base=600, cap=600, jitter=0)})
    async def job() -> None:
        raise errors.pop()

    errors: list[Exception] = [ValueError("no"), KeyError("no")]
    pauses = []
    with running(job) as runner:
        for _ in range(2):
            one = attempt()
            one.lease = msgspec.structs.replace(one.lease, item=item)
            ended = await runner.run(one)
            assert isinstance(ended, Finish)
            pauses.append(pause(ended))

    assert pauses == [60, 600]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"ValueError": Fail}, "classes of exceptions"),
        ({int: Fail}, "classes of exceptions"),
        ({ValueError: 30}, "a function of the exception for ValueError"),
        ({ValueError: Retry}, "a function of the exception for ValueError"),
        ({Retry: Fail}, "Retry is an outcome"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_where_it_is_written(rules: Any, said: str) -> None:
    """Not at the first failure, days later."""
    with pytest.raises(ConfigProblem, match=said):
        handler("job", on_error=rules)


def raised(function: Callable[[], object]) -> BaseException:
    """What it raises."""
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def _inner() -> int:
    return int("x")


def test_the_place_is_the_innermost_function_of_the_handlers_package() -> None:
    """Deep inside a library everybody fails in the same place; a line's number moves."""
    error = raised(lambda: [_inner() for _ in "a"])
    json_error = raised(lambda: msgspec.json.decode("{"))

    assert place_of(error, HOME) == f"{HOME}:_inner"
    assert place_of(json_error, HOME).startswith(f"{HOME}:test_the_place")
    assert place_of(ValueError(), HOME) == ""
    assert place_of(error, "elsewhere.jobs") == f"{HOME}:_inner"


async def test_a_failure_has_its_cause() -> None:
    """What was raised, where, and the stack; the same fingerprint each time."""
    one, two = [await finish({}, ValueError(text)) for text in ("no 1", "no 2")]

    assert one.cause is not None
    assert two.cause is not None
    assert one.cause.fingerprint == two.cause.fingerprint
    assert (one.cause.exception, one.cause.place) == ("ValueError", f"{HOME}:finish.<locals>.job")
    assert "ValueError: no 1" in one.cause.trace


async def test_a_success_a_snooze_and_a_cancel_have_no_cause() -> None:
    """They have not failed."""
    assert (await finish({}, Snooze(5))).cause is None
    assert (await finish({}, Cancel("no"))).cause is None
