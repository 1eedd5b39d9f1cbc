"""Whether anybody can hear what is published on a channel: asked of the server; it sends nothing.

A message that nobody hears costs the server and us as much as another: 3 us each for every event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from taskhub.events.redis_line import command

FEW = 8
"""Up to so many events are sent without asking: the question costs as much as they do."""

QUESTIONS = 4

Audience = Literal["nobody", "somebody", "unknown"]


def questions(channel: bytes) -> bytes:
    """Who listens here, and whether others may elsewhere: on a replica, or a node of a cluster."""
    asked = ((b"ROLE",), (b"INFO", b"cluster"), (b"PUBSUB", b"NUMSUB", channel))
    return b"".join(command(*words) for words in (*asked, (b"PUBSUB", b"NUMPAT")))


def audience(answers: Sequence[Any]) -> Audience:
    """What the answers say; `unknown`: of others, or the server would not tell."""
    match answers:
        case [[b"master", _, []], bytes(cluster), [_, int(here)], int(patterns)]:
            if b"cluster_enabled:0" not in cluster:
                return "unknown"
            return "somebody" if here or patterns else "nobody"
        case _:
            return "unknown"
