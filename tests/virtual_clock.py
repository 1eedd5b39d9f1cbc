"""An event loop whose clock jumps: what takes minutes of waiting takes no time in a test.

Mark a test with `@pytest.mark.virtual_clock` (or ask for the fixture `virtual_loop`) and every
`asyncio` timer in it is due at once, in order. It does not touch `time.monotonic()`.
"""

from __future__ import annotations

import asyncio
import selectors

PATIENCE = 10.0  # real seconds to wait for a thread or a socket while no timer is set


class Deadlock(RuntimeError):
    """Nothing is scheduled and nothing happens: the test would wait for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits by adding to the clock; what is there already comes before any jump."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is not None:
            self.now += timeout
            return events
        if events := super().select(PATIENCE):
            return events
        raise Deadlock


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is seconds since the start of the test, moved by waiting alone."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Threads end in real time: a virtual deadline would pass at once."""
        await super().shutdown_default_executor()


async def pass_time(seconds: float) -> None:
    """Let that much virtual time go by; everything due meanwhile runs, in order."""
    if not isinstance(asyncio.get_running_loop(), VirtualLoop):
        msg = "pass_time() needs the virtual clock: mark the test with virtual_clock"
        raise TypeError(msg)
    await asyncio.sleep(seconds)  # noqa: TID251 - this is the virtual clock
