"""Which types external workers do still: kept in the store, now and then for each type."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.http.external.bench import LATER
from taskhub.registration import SAY_EVERY, Seen

if TYPE_CHECKING:
    from taskhub.http.call import Call


class Sightings:
    """What this process has said last of each type: as many as may be registered at all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at: dict[str, float] = {}

    async def say(self, call: Call, names: Iterable[str]) -> None:
        """Keep that somebody does these registered types now; where that fails, the next one."""
        now = self._clock()
        due = [name for name in names if now - self._said_at.get(name, -SAY_EVERY) >= SAY_EVERY]
        if due:
            self._said_at.update(dict.fromkeys(due, now))
            with suppress(*LATER):
                await call.put(Seen(types=due))
