"""The newest events, kept once for all who listen; bounded, the oldest fall out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from taskhub.http.live.frames import Frame

FRAMES = 4_096
BYTES = 4 * 1024 * 1024
AT_ONCE = 200
"""Frames looked at in one step."""
PIECES = 16
"""Texts kept for those who are at the same place."""


class Piece(NamedTuple):
    """Many events as one text, and the position after them."""

    text: bytes
    position: int
    events: int


class Ring:
    """Holds everything that came after `start`, up to `newest`: two numbers (Seq) of the table."""

    def __init__(self, frames: int = FRAMES, size: int = BYTES) -> None:
        self._most, self._most_bytes = frames, size
        self._frames: list[Frame] = []
        self._seqs: list[int] = []
        self._bytes = 0
        self._pieces: dict[int, Piece] = {}
        """The text for each position that somebody had lately: nearly all have the same."""
        self.start = self.newest = 0

    def begin(self, position: int) -> None:
        """Hold nothing, and go on from here."""
        self._frames, self._seqs, self._bytes = [], [], 0
        self._pieces.clear()
        self.start = self.newest = position

    def add(self, frames: Sequence[Frame], newest: int) -> None:
        """Take what came next; everything up to `newest` is among it."""
        self._frames += frames
        self._seqs += [each.event.seq for each in frames]
        self._bytes += sum(len(each.text) for each in frames)
        self.newest = newest
        self._pieces.clear()
        if len(self._frames) > 2 * self._most or self._bytes > 2 * self._most_bytes:
            self._shrink()

    def after(self, position: int) -> tuple[list[Frame], int]:
        """Up to `AT_ONCE` frames that came after a position, and how far they reach.

        The position must not be before `start`, nor `newest` or later.
        """
        first = bisect_right(self._seqs, position)
        found = self._frames[first : first + AT_ONCE]
        return found, found[-1].event.seq

    def piece(self, position: int, limit: int) -> Piece:
        """The same as one text of at most `limit` bytes, if it is more than one frame."""
        known = self._pieces.get(position)
        if known is None:
            if len(self._pieces) >= PIECES:
                self._pieces.clear()
            known = self._pieces[position] = _piece(self.after(position)[0], limit)
        return known

    def _shrink(self) -> None:
        """Let half of it go at once: a single step would move all the others each time."""
        out = max(0, len(self._frames) - self._most)
        left = self._bytes - sum(len(each.text) for each in self._frames[:out])
        while left > self._most_bytes:
            left -= len(self._frames[out].text)
            out += 1
        self.start, self._bytes = self._seqs[out - 1], left
        del self._frames[:out], self._seqs[:out]


def _piece(found: Sequence[Frame], limit: int) -> Piece:
    size = count = 0
    for each in found:
        size += len(each.text)
        if count and size > limit:
            break
        count += 1
    text = b"".join([each.text for each in islice(found, count)])
    return Piece(text, found[count - 1].event.seq, count)
