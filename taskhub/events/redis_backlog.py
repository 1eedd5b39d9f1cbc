"""How much new work waits in the stream of hints, asked of the server now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from taskhub.events.redis_finding import dial
from taskhub.events.redis_line import Address, Patience, command
from taskhub.events.redis_streams import GROUP, stream_of
from taskhub.obs.telemetry import Emit, WorkWaits

EVERY = 1.0
"""Seconds between two looks; a limit is passed by what comes in the meantime."""

Learn = Callable[[int, float], None]
"""Told how many hints wait for a worker, and for how many seconds the first of all is there."""


class BacklogWatch:
    """Tells what it sees, as long as the server is there."""

    def __init__(
        self,
        address: Address,
        channel: str,
        emit: Emit,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        self._key = key = stream_of(channel)
        self._address, self._patience, self._emit = address, patience, emit
        self._ask = b"".join(
            (
                command(b"XLEN", key),
                command(b"XPENDING", key, GROUP),
                command(b"XRANGE", key, b"-", b"+", b"COUNT", b"1"),
                command(b"TIME"),
            )
        )

    async def run(self, is_up: Callable[[], None], learn: Learn) -> None:
        """Look until cancelled; `is_up` is called when it could. Raises BusAway | BusRefused."""
        line = await dial(self._address, self._patience, self._key)
        try:
            while True:
                waiting, taken, age = seen(await line.ask(self._ask, 4, allowing="NOGROUP"))
                is_up()
                learn(waiting, age)
                self._emit(WorkWaits(waiting=waiting, taken=taken, age=age))
                await asyncio.sleep(EVERY)
        finally:
            await line.hang_up()


def seen(answer: list[Any]) -> tuple[int, int, float]:
    """Hints that wait, hints that workers hold, and the age of the first of all in seconds."""
    length, pending, first, (seconds, micros) = answer
    taken = pending[0] if isinstance(pending, list) else 0  # an error: no worker was there yet
    if not first:
        return 0, 0, 0.0
    made = int(first[0][0].partition(b"-")[0]) / 1_000
    return max(0, length - taken), taken, max(0.0, int(seconds) + int(micros) / 1e6 - made)
