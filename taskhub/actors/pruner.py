"""The `pruner` actor: deletes ended tasks, events, audit rows and keys past their retention."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from taskhub.messages import PASSING, Put
from taskhub.obs.telemetry import Emit, RowsPruned
from taskhub.ports import Prune, Pruned

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.config.sections import RetentionSection
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox

EVERY = 60.0
"""Seconds between two rounds."""
SHARE = 500
"""Rows of one kind deleted in one transaction, so that nobody waits long behind it."""
REST = 0.2
"""Seconds between two shares."""


class Pruner:
    """Deletes in small shares with pauses; any number of pruners may run, twice changes nothing."""

    def __init__(
        self, store_box: Mailbox[Put], retention: Callable[[], RetentionSection], emit: Emit
    ) -> None:
        """Write through `store_box`; `retention` is asked anew for each share."""
        self._box, self._retention, self._emit = store_box, retention, emit

    async def run(self, ctx: Context) -> None:
        """One round a minute, at a moment of its own so that processes do not prune in step."""
        ctx.ready()
        while not await ctx.pause(EVERY * random.uniform(0.5, 1.0)):  # noqa: S311 - only spreads load
            with suppress(*PASSING):
                while await self._share() and not await ctx.pause(REST):
                    pass

    async def _share(self) -> bool:
        """Delete a share of each kind; whether there may be more."""
        kept, now = self._retention(), datetime.now(UTC)
        write = Prune(
            tasks_before=now - timedelta(days=kept.tasks_days),
            events_before=now - timedelta(days=kept.events_days),
            audit_before=now - timedelta(days=kept.audit_days),
            limit=SHARE,
        )
        (result,) = await Put(write).sent_to(self._box)
        if not isinstance(result, Pruned):
            return False
        counts: dict[str, int] = msgspec.structs.asdict(result)
        self._emit(RowsPruned(**counts))
        return max(counts.values()) >= SHARE
