"""A host that fails again and again is left alone, asked now and then, and taken back."""

from __future__ import annotations

import pytest
from taskhub.obs.telemetry import BreakerClosed, BreakerOpened, Telemetry
from taskhub.work.outbound import breaker
from taskhub.work.outbound.breaker import FAILURES, REST_FIRST, REST_LAST, Breakers

HOST, OTHER = "https://down.example", "https://up.example"


class World:
    """Breakers, what they said, and a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[Telemetry] = []
        self.breakers = Breakers(self.said.append, lambda: self.now)

    def fail(self, host: str = HOST, times: int = FAILURES) -> None:
        for _ in range(times):
            self.breakers.failed(host)


@pytest.fixture
def world() -> World:
    """Nobody has failed."""
    return World()


def test_a_host_that_fails_now_and_then_is_called(world: World) -> None:
    """Only failures in a row count."""
    for _ in range(3):
        world.fail(times=FAILURES - 1)
        assert world.breakers.may_call(HOST) == 0
        world.breakers.succeeded(HOST)

    assert world.said == []


def test_a_host_that_fails_in_a_row_is_left_alone_and_no_other(world: World) -> None:
    """Five times is no chance."""
    world.fail()

    assert world.breakers.may_call(HOST) == REST_FIRST
    assert world.breakers.may_call(OTHER) == 0
    assert world.said == [BreakerOpened(host=HOST, failures=FAILURES, rest=REST_FIRST, open=1)]


def test_after_its_rest_one_call_tries_and_the_others_wait(world: World) -> None:
    """Else all that waited would come at once, on a host that just rises."""
    world.fail()
    world.now = REST_FIRST

    assert world.breakers.may_call(HOST) == 0
    assert world.breakers.may_call(HOST) > 0
    world.breakers.succeeded(HOST)
    assert world.breakers.may_call(HOST) == world.breakers.may_call(HOST) == 0
    assert world.said[-1] == BreakerClosed(host=HOST, seconds=REST_FIRST, open=0)


def test_each_failed_try_makes_the_rest_longer_up_to_a_limit(world: World) -> None:
    """What is down for long is asked seldom."""
    world.fail()
    rests = []
    for _ in range(8):
        world.now += world.breakers.may_call(HOST)
        assert world.breakers.may_call(HOST) == 0
        world.fail(times=1)
        rests.append(world.breakers.may_call(HOST))

    assert rests[:3] == [2 * REST_FIRST, 4 * REST_FIRST, 8 * REST_FIRST]
    assert rests[-1] == REST_LAST


def test_what_was_under_way_when_it_opened_changes_nothing(world: World) -> None:
    """Sixty-four calls that fail together are one failure of the host."""
    world.fail()
    world.fail(times=59)

    assert world.breakers.may_call(HOST) == REST_FIRST
    assert len(world.said) == 1


def test_a_try_that_is_cut_short_leaves_the_next_one_its_turn(world: World) -> None:
    """A worker that stops must not close the door for ever."""
    world.fail()
    world.now = REST_FIRST
    assert world.breakers.may_call(HOST) == 0
    world.breakers.unknown(HOST)

    assert world.breakers.may_call(HOST) == 0


def test_the_table_is_bounded_and_open_breakers_stay_longest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes tasks chooses the hosts."""
    monkeypatch.setattr(breaker, "HOSTS", 3)
    world.fail()
    for number in range(10):
        world.fail(f"https://{number}.example", times=1)

    assert world.breakers.may_call(HOST) == REST_FIRST
    for number in range(3):
        world.fail(f"https://open{number}.example")
    assert world.breakers.may_call(HOST) == 0
    assert world.said[-1] == BreakerOpened(
        host="https://open2.example", failures=FAILURES, rest=REST_FIRST, open=3
    )
