"""How long nobody calls a server that could not be reached."""

from __future__ import annotations

import pytest
from taskhub.errors import StoreDown
from taskhub.store.steps import breaker
from taskhub.store.steps.breaker import LONGEST, Breaker


class Time:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The breaker's clock."""
    clock = Time()
    monkeypatch.setattr(breaker, "monotonic", clock)
    return clock


def refuses(one: Breaker) -> bool:
    """Whether a call fails at once, and says why."""
    try:
        one.refuse()
    except StoreDown as error:
        return error.detail == "The wall is wet."
    return False


def pause(one: Breaker, time: Time) -> float:
    """How long it refuses after one more failure."""
    one.failed(StoreDown("The wall is wet."))
    began = time.now
    while refuses(one):
        time.now += 0.01
    return time.now - began


def test_pauses_grow_to_a_limit_and_end_with_success(time: Time) -> None:
    """A server that is back is found within two seconds; one that is away is left alone."""
    one = Breaker()
    assert not refuses(one)

    pauses = [pause(one, time) for _ in range(8)]

    assert pauses[0] <= 0.12
    assert all(LONGEST / 2 <= later <= LONGEST + 0.02 for later in pauses[5:])
    one.failed(StoreDown("The wall is wet."))
    one.succeeded()
    assert not refuses(one)
    assert pause(one, time) <= 0.12
