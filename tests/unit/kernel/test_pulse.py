"""The pulse of an event loop, and the clocks that nobody can turn."""

from __future__ import annotations

import asyncio
import time

import pytest
from taskhub.kernel.clock import boot_id, boottime
from taskhub.kernel.pulse import BLOCKED, Pulse

from tests.waiting import blocking_until, until


@pytest.mark.both_loops
async def test_a_loop_that_turns_has_a_young_pulse_and_a_blocked_one_ages() -> None:
    """Another thread can tell the two apart without touching the loop."""
    pulse = Pulse()
    born = pulse.at
    pulse.start(asyncio.get_running_loop())
    await until(lambda: pulse.at > born)

    blocking_until(lambda: pulse.age() > BLOCKED)
    is_overdue = pulse.is_overdue()
    pulse.deadline = lambda: 0.0
    was_overdue = pulse.is_overdue()
    await until(lambda: pulse.age() < BLOCKED)
    pulse.stop()

    assert (is_overdue, was_overdue, pulse.is_overdue()) == (False, True, False)
    assert pulse.lag >= 0.0


def test_boottime_grows_and_counts_at_least_as_much_as_the_monotonic_clock() -> None:
    """It goes on while the machine sleeps; leases are counted in it."""
    monotonic, boot = time.monotonic(), boottime()

    assert boot >= monotonic - 1.0
    assert boottime() >= boot


def test_a_boot_has_one_name() -> None:
    """A time of another boot says nothing."""
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
