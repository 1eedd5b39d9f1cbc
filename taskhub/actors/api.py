"""The `api` actor: holds the HTTP server open while it lives; HTTP itself it does not know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from taskhub.kernel.actor import Context

Serving = Callable[[], AbstractAsyncContextManager[None]]
"""Enters when requests are answered; leaves when the last one in flight has been."""


class Api:
    """Serves until it is stopped: accepting ends first, then requests in flight finish."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def run(self, ctx: Context) -> None:
        """Listen, say so, wait for the stop."""
        async with self._serving():
            ctx.ready()
            await ctx.stopping.wait()
