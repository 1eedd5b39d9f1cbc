"""What actors of one process say to each other; messages never cross a process."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taskhub.errors import Trouble
from taskhub.kernel.mailbox import ActorFailed, Ask, MailboxClosed, MailboxFull
from taskhub.model import Event, TaskId
from taskhub.ports import Result, Write

PASSING = (Trouble, MailboxFull, MailboxClosed, ActorFailed)
"""What an ask of the store may end in that is not its sender's bug: try again later."""


class Put(Ask[Sequence[Result]]):
    """Ask the store actor to commit `writes`; the answer has one result for each, in order."""

    __slots__ = ("writes",)

    def __init__(self, *writes: Write) -> None:
        self.writes = writes


class Publish(msgspec.Struct, frozen=True):
    """Tell the outside what a commit has changed; may be dropped."""

    events: Sequence[Event]
    kinds: frozenset[str] = frozenset()


class Wake(msgspec.Struct, frozen=True):
    """There may be work: look."""


class Stop(msgspec.Struct, frozen=True):
    """Stop these running tasks: `reason` is `cancel` or `lost`."""

    ids: Sequence[TaskId]
    reason: str
