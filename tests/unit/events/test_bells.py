"""What a message on the bell's channel means, whatever somebody has written into it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from taskhub.bus import KINDS
from taskhub.events.redis_pubsub import rung_by

CHANNEL = b"taskhub:events:bell"


@given(st.sets(st.sampled_from(sorted(KINDS)), min_size=1))
def test_kinds_come_over_as_they_were_sent(kinds: set[str]) -> None:
    """Space-joined, in any order."""
    assert rung_by([b"message", CHANNEL, " ".join(kinds).encode()]) == kinds


@given(st.binary(max_size=300))
def test_any_content_is_at_most_a_bell_with_every_kind(content: bytes) -> None:
    """A forger can make us look, no more; a newer version's words make us look too."""
    kinds = rung_by([b"message", CHANNEL, content])

    assert kinds <= KINDS
    assert kinds


@given(
    st.sampled_from([[b"pong", b""], [b"subscribe", CHANNEL, 1], None, 1, b"OK", []])
    | st.lists(st.binary(max_size=9) | st.integers(), max_size=2)
)
def test_what_is_no_message_rings_nothing(reply: object) -> None:
    """An echo shows that the line lives; nobody needs to wake for it."""
    assert rung_by(reply) == frozenset()
