"""The virtual clock jumps, in order, and says when nothing is left to wait for."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_clock import Deadlock, VirtualLoop, pass_time


@pytest.mark.virtual_clock
async def test_an_hour_takes_no_time_and_timers_run_in_order() -> None:
    """What the kernel's tests rely on."""
    loop = asyncio.get_running_loop()
    rung: list[tuple[str, float]] = []
    loop.call_later(20, lambda: rung.append(("late", loop.time())))
    loop.call_later(10, lambda: rung.append(("early", loop.time())))

    await pass_time(3600)

    assert rung == [("early", 10), ("late", 20)]
    assert loop.time() == 3600


async def test_a_thread_is_waited_for_in_real_time(virtual_loop: VirtualLoop) -> None:
    """The clock stands while no timer is set, so a test may cross to a thread and back."""
    assert await asyncio.to_thread(sum, [1, 2]) == 3
    assert virtual_loop.time() == 0


def test_waiting_for_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadlock shows as one, not as a test that runs into its time limit."""
    monkeypatch.setattr("tests.virtual_clock.PATIENCE", 0.01)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(Deadlock):
        runner.run(asyncio.Event().wait())
