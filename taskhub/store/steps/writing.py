"""The half of the `Store` port that changes something: one thread commits, any may renew leases."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from taskhub.ports import Committed, Renew, Renewed, Write
from taskhub.store.steps.hand import Hand

S = TypeVar("S")

RENEWAL_TIMEOUT = 2.0  # seconds a renewal waits at most: the keeper has other leases to think of


class Writing(ABC, Generic[S]):
    """Speaks on two sessions of a database: renewals never wait behind what is committed."""

    _hand: Hand | None
    _writing: S
    _renewing: S
    _one_renewal: threading.Lock

    async def commit(self, writes: Sequence[Write]) -> Committed:
        """All in one durable transaction; a write that cannot be stored is `Refused` alone."""
        assert self._hand is not None, "the store is not open"
        return await self._hand.call(self._commit, self._writing, writes)

    def renew(self, write: Renew) -> Renewed:
        """Extend leases from any thread."""
        with self._one_renewal:
            answer = self._commit(self._renewing, [write]).results[0]
        assert isinstance(answer, Renewed)
        return answer

    @abstractmethod
    def _commit(self, session: S, writes: Sequence[Write]) -> Committed:
        """One transaction on this session."""
