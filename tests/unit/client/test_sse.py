"""Server-sent events as the HTML standard has them, in whatever pieces they come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.client.sse import LIMIT, Message, Parser, TooLong

CASES = [
    (b"data: a\n\n", [Message("message", "a", "")]),
    (b"data:a\ndata:  b\n\n", [Message("message", "a\n b", "")]),
    (b"event: x\nid: 7\ndata: a\n\n", [Message("x", "a", "7")]),
    (
        b"id: 7\ndata: a\n\ndata: b\n\n",
        [Message("message", "a", "7"), Message("message", "b", "7")],
    ),
    (
        b"id: 7\ndata: a\n\nid\ndata: b\n\n",
        [Message("message", "a", "7"), Message("message", "b", "")],
    ),
    (b"id: a\0b\ndata: a\n\n", [Message("message", "a", "")]),
    (b": heartbeat\n\n:\n\n", []),
    (b"event: x\n\ndata: a\n\n", [Message("message", "a", "")]),
    (b"data\n\n", [Message("message", "", "")]),
    (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [Message("message", x, "") for x in "abc"]),
    (b"\xef\xbb\xbfdata: a\n\n", [Message("message", "a", "")]),
    ("data: \u00e9\U0001f389\n\n".encode(), [Message("message", "\u00e9\U0001f389", "")]),
    (b"data: \xff\n\n", [Message("message", "\ufffd", "")]),
    (b"nonsense: 1\nretry: x\ndata: a\n\n", [Message("message", "a", "")]),
    (b"data: never ended\n", []),
]


@pytest.mark.parametrize(("text", "messages"), CASES, ids=ascii)
def test_events_are_read_as_the_standard_says(text: bytes, messages: list[Message]) -> None:
    """Fields, comments, ids that stay, lines that end in any way."""
    assert Parser().feed(text) == messages


@given(case=st.sampled_from(CASES), cuts=st.lists(st.integers(0, 40)))
def test_pieces_do_not_matter(case: tuple[bytes, list[Message]], cuts: list[int]) -> None:
    """A line feed may be the first byte of the next packet, half a letter the last of this one."""
    text, messages = case
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parser = Parser()

    found = [m for a, b in pairwise(places) for m in parser.feed(text[a:b])]

    assert found == messages


def test_an_id_counts_once_its_event_has_ended() -> None:
    """Half an event is asked for again."""
    parser = Parser("5")

    parser.feed(b"id: 6\ndata: a\n")
    before = parser.last_id
    parser.feed(b"\n")

    assert (before, parser.last_id) == ("5", "6")


def test_the_server_may_say_how_long_to_stay_away() -> None:
    """In milliseconds."""
    parser = Parser()

    parser.feed(b"retry: 2500\n\n")

    assert parser.pause == 2.5


@pytest.mark.parametrize("line", [b"data: " + b"x" * 999 + b"\n", b"x" * 1_000])
def test_an_event_without_end_is_refused(line: bytes) -> None:
    """Memory is bounded, whether lines end or not."""
    with pytest.raises(TooLong):
        _feed_on(Parser(), line)


def _feed_on(parser: Parser, line: bytes) -> None:
    for _ in range(LIMIT // 1_000 + 2):
        parser.feed(line)
