"""Passes the bell on to the actors of this process that want to hear it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.messages import Wake

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.kernel.mailbox import Mailbox


def ring(box: Mailbox[Any], kind: str) -> Callable[[frozenset[str]], None]:
    """A listener that wakes the reader of `box` whenever this kind rings."""
    wake = Wake()

    def heard(kinds: frozenset[str]) -> None:
        if kind in kinds and not len(box):
            with suppress(MailboxFull, MailboxClosed):
                box.post(wake)

    return heard
