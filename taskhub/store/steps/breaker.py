"""A server that cannot be reached is not called again at once: all would wait, one by one."""

from __future__ import annotations

import random
from time import monotonic

from taskhub.errors import StoreDown

FIRST, LONGEST = 0.1, 2.0
"""Seconds between two tries; they grow."""


class Breaker:
    """Between a failed try to connect and the next every call fails at once, with its reason."""

    def __init__(self) -> None:
        """Begin closed."""
        self._pause, self._until = FIRST, 0.0
        self._trouble: StoreDown | None = None

    def refuse(self) -> None:
        """Raise what was wrong, unless it is time to try again."""
        if self._trouble is not None and monotonic() < self._until:
            raise StoreDown(self._trouble.detail) from self._trouble.__cause__

    def failed(self, trouble: StoreDown) -> None:
        """Keep others away for a while; not all processes come again at the same moment."""
        self._trouble = trouble
        self._until = monotonic() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - a pause
        self._pause = min(LONGEST, self._pause * 2)

    def succeeded(self) -> None:
        """All is well."""
        self._trouble, self._pause = None, FIRST
