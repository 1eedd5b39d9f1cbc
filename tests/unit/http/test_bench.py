"""Where external workers wait: who is served first, what a look costs, what trouble does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
import pytest_asyncio
from taskhub.errors import StoreDown
from taskhub.http.external.bench import Bench, Seat
from taskhub.model import Lease

from tests.waiting import turns

pytestmark = pytest.mark.virtual_clock

WORK = frozenset({"work"})


class Counter:
    """A store of plain words in place of leases; counts who asks."""

    def __init__(self) -> None:
        self.stock: list[str] = []
        self.asked: list[str] = []
        self.returned: list[Any] = []
        self.is_down = False

    def seat(self, name: str, wanted: str = "press", *, is_there: bool = True) -> Seat:
        """One who would take one word."""

        async def claim() -> Sequence[Lease]:
            self.asked.append(name)
            if self.is_down:
                raise StoreDown
            taken, self.stock[:1] = self.stock[:1], []
            return cast("Sequence[Lease]", taken)

        return Seat(wanted, 1, claim, lambda: is_there)

    async def give_back(self, unwanted: Sequence[Lease]) -> None:
        """What was claimed for nobody."""
        self.returned += unwanted


@pytest.fixture
def counter() -> Counter:
    """Empty."""
    return Counter()


@pytest_asyncio.fixture
async def bench(counter: Counter) -> AsyncIterator[Bench]:
    """A bench that looks when it rings."""
    bench = Bench(counter.give_back, limit=10)
    running = asyncio.create_task(bench.run())
    yield bench
    bench.close()
    await running


async def sit(bench: Bench, *seats: Seat) -> list[asyncio.Task[Any]]:
    """They wait, in this order, and nobody has been asked since."""
    waiting = []
    for seat in seats:
        waiting.append(asyncio.create_task(bench.take(seat, 60)))
        await turns()
    return waiting


async def test_who_has_waited_longest_is_served_first(bench: Bench, counter: Counter) -> None:
    """A newcomer does not push in."""
    first, second = await sit(bench, counter.seat("first"), counter.seat("second"))
    counter.stock = ["a"]

    bench.rang(WORK)

    assert await first == ["a"]
    assert not second.done()


async def test_many_who_want_the_same_cost_one_look(bench: Bench, counter: Counter) -> None:
    """Else a bell would cost a thousand claims; who wants something else is asked about too."""
    seats = [counter.seat(str(number)) for number in range(5)]
    await sit(bench, *seats, counter.seat("other", "fold"))
    counter.asked.clear()

    bench.rang(WORK)
    await turns()

    assert counter.asked == ["0", "other"]


async def test_a_bell_that_is_not_for_work_wakes_nobody(bench: Bench, counter: Counter) -> None:
    """Ends of tasks ring all the time."""
    await sit(bench, counter.seat("one"))
    counter.asked.clear()

    bench.rang(frozenset({"ended"}))
    await turns()

    assert counter.asked == []


async def test_who_has_gone_is_not_asked_for(bench: Bench, counter: Counter) -> None:
    """What is there goes to the next."""
    _, there = await sit(bench, counter.seat("gone", is_there=False), counter.seat("there"))
    counter.stock = ["a"]

    bench.rang(WORK)

    assert await there == ["a"]


async def test_trouble_while_they_wait_is_tried_again(bench: Bench, counter: Counter) -> None:
    """They asked for a task, not for the store's health; the next look is a second away."""
    (waiting,) = await sit(bench, counter.seat("one"))
    counter.is_down = True
    bench.rang(WORK)
    await turns()
    counter.is_down, counter.stock = False, ["a"]

    assert await waiting == ["a"]


async def test_who_is_cancelled_after_being_served_gives_it_back(
    bench: Bench, counter: Counter
) -> None:
    """Nothing is lost between the hand that gives and the one that takes."""
    seat = counter.seat("one")
    (waiting,) = await sit(bench, seat)
    seat.served.set_result(cast("Sequence[Lease]", ["a"]))
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert counter.returned == ["a"]


async def test_nobody_waits_through_a_stop(bench: Bench, counter: Counter) -> None:
    """They ask again at the next process."""
    (waiting,) = await sit(bench, counter.seat("one"))

    bench.close()

    assert list(await waiting) == []
    assert list(await bench.take(counter.seat("late"), 60)) == []
