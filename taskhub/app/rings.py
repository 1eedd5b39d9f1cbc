"""Passes the bell on to the actors of this process that want to hear it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.messages import Wake

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.kernel.mailbox import Mailbox


def ring(box: Mailbox[Any], *kinds: str) -> Callable[[frozenset[str]], None]:
    """A listener that wakes the reader of `box` whenever one of these kinds rings."""
    wake = Wake()

    def heard(rung: frozenset[str]) -> None:
        if not rung.isdisjoint(kinds) and not len(box):
            with suppress(MailboxFull, MailboxClosed):
                box.post(wake)

    return heard
