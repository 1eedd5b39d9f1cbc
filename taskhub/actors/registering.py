"""Makes the types of a pool's handlers known, and says as long as it works that it does them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.messages import PASSING, Put
from taskhub.ports import Register, Touched
from taskhub.registration import SAY_EVERY, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.model import TypeInfo
    from taskhub.ports import Result, Write

AGAIN = 0.2
"""Seconds between two tries while the store is in trouble."""


class Registering:
    """What one pool says of its types.

    The schemas are written once, at the start: of two versions of a handler that run at the same
    time for a while, the one that started last is in force.
    """

    def __init__(self, types: Sequence[TypeInfo], store_box: Mailbox[Put]) -> None:
        self._types, self._box = types, store_box
        self._names = tuple(info.name for info in types)

    async def register(self, ctx: Context, *others: Write) -> Sequence[Result]:
        """Make them known, however long it takes, and what else is written with them; its results.

        A stop ends it.
        """
        while not ctx.stopping.is_set():
            with suppress(*PASSING):
                put = Put(Register(types=self._types), Seen(types=self._names), *others)
                return (await put.sent_to(self._box))[2:]
            ctx.ready()  # trouble around us is a state: others may start meanwhile
            await ctx.pause(AGAIN)
        return ()

    async def keep_saying(self) -> None:
        """Say each minute that they are done here; what somebody took away meanwhile comes back."""
        while True:
            await asyncio.sleep(SAY_EVERY * random.uniform(0.8, 1.0))  # noqa: S311 - only spreads load
            with suppress(*PASSING):
                (seen,) = await Put(Seen(types=self._names)).sent_to(self._box)
                if isinstance(seen, Touched) and seen.count < len(self._names):
                    await Put(Register(types=self._types)).sent_to(self._box)
