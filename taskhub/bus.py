"""The second seam: what an event bus must do, a doorbell between processes; no Redis, no store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

import msgspec

from taskhub.model import Event

SCHEDULES = "schedules"
KINDS = frozenset({"work", "later", "ended", "cancel", "types", "told", SCHEDULES})
"""Every kind of bell: what one that cannot be read, or may have been missed, stands for."""


class BellKind(msgspec.Struct, frozen=True):
    """What rang: any of `work` (something may be claimed), `later` (a new task can be claimed
    later), `ended` (a task ended), `cancel`, `types` (there are other types of tasks now),
    `schedules` (one was changed), and `told` when none of these but something else has happened,
    which only listeners want to hear.
    """

    kinds: frozenset[str]


class Subscribed(msgspec.Struct, frozen=True):
    """The line is up (again): whatever rang before may have been missed, so look once."""


Signal = Subscribed | BellKind


class EventBus(Protocol):
    """Hints between processes. Losing all of them costs latency, never a task."""

    async def open(self) -> None:
        """Make ready; does not need the server to be there."""

    async def close(self) -> None:
        """Give every connection back; may be called twice."""

    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None:
        """One pipeline: a message per event and one bell. Raises BusAway | BusRefused, soon."""

    def subscribe(self) -> AsyncGenerator[Signal, None]:
        """Hear the bell; first comes Subscribed. Raises BusAway | BusRefused when the line is cut.

        Its line is given back by `aclose()`: use it in `contextlib.aclosing`.
        """


class WorkHints(Protocol):
    """Hints of new work that go to one worker each, where the event server can do that."""

    def looked(self, began: float, room: int) -> None:
        """The store has answered a claim that began then (the loop's time); `room` more tasks fit.

        Which settles every hint that was taken before it.
        """

    async def run(self, is_up: Callable[[], None], ring: Callable[[], None]) -> None:
        """Take hints and ring for them, at first once for whatever was missed, until cancelled.

        `is_up` is called when it has joined the others. Raises BusAway | BusRefused.
        """
