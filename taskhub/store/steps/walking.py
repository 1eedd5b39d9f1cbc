"""A search from window to window, each a short look, so that none holds up another for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from taskhub.model import TaskId
from taskhub.store.steps.plan import Plan
from taskhub.store.steps.rows import Row, json

Ask = Callable[[str, Mapping[str, str], Mapping[str, object]], list[Row]]
"""Runs a statement, given by its name, with these conditions and values filled in."""

SECONDS = 1.0
"""How long one question may go on."""

NO_LIMIT = (1 << 63) - 1

WINDOW_SECONDS = 0.25
"""How long one window may take; one that takes longer is left, and a smaller one tried."""

FIRST_WINDOW, MOST_WINDOW = 200, 50_000
QUICK, SLOW = 0.01, 0.04
"""Seconds: windows grow that take less, and shrink that take more."""

KINDS_LOOKED, KINDS_MOST = 5_000, 500
"""With more combinations of status, type and queue than this the ids are gone through instead."""

PAGE_SIZE = 4 * 1024 * 1024
"""Characters: a page ends early when its tasks are this large together, so memory is bounded."""


@dataclass(slots=True)
class Walk:
    """How far one question has come, and what it may still cost."""

    plan: Plan
    shape: str
    """`page`, `names` or `count`."""
    left: int
    """Tasks still wanted."""
    reads: int
    before_id: str
    """Where it goes on; empty: there is nothing behind it."""
    room: int
    """Characters that its tasks may still have."""
    window: int = FIRST_WINDOW
    until: float = field(default_factory=lambda: monotonic() + SECONDS)
    rows: list[Row] = field(default_factory=list)
    is_full: bool = False
    """Whether the page has all that it can hold."""

    @property
    def goes_on(self) -> bool:
        """Whether more is wanted, and there may be more, and it has not cost enough.

        It gets on by at least one window, or whoever asks again would never see an end.
        """
        is_over = self.reads <= 0 or monotonic() >= self.until
        may_end = is_over and self.before_id != self.plan.before_id
        return bool(self.before_id) and not self.is_full and not may_end

    @property
    def end(self) -> tuple[TaskId | None, bool]:
        """Where the next page begins, and whether this one has ended early."""
        return TaskId(self.before_id) or None, bool(self.before_id) and not self.is_full

    def add(self, look: Look) -> None:
        """One window more."""
        self.rows += look.rows
        self.before_id = look.end
        self.is_full = look.is_full
        self.left -= len(look.rows)
        self.room -= look.size
        self.reads -= look.reads
        self.window = _next_window(self.window, look.seconds)


class Look(NamedTuple):
    """One window: what matches, where it ended (empty: nothing is behind it), what it cost."""

    rows: Sequence[Row]
    end: str
    is_full: bool = False
    size: int = 0
    reads: int = 0
    seconds: float = 0.0


def _next_window(window: int, seconds: float) -> int:
    if seconds < QUICK:
        return min(MOST_WINDOW, window * 2)
    return max(1, int(window * SLOW / seconds)) if seconds > SLOW else window


class Window:
    """Inside the transaction of one window."""

    def __init__(self, ask: Ask, walk: Walk) -> None:
        """Look for what `walk` wants next."""
        self._ask_texts, self._walk = ask, walk
        way = walk.plan
        self._texts = {"kind": way.kind or way.always, "where": way.where}
        self._values: dict[str, object] = way.values | {
            "before_id": walk.before_id,
            "since_id": way.since_id,
            "floor_id": way.since_id,
            "limit": NO_LIMIT if walk.shape == "count" else walk.left + 1,
        }

    def look(self) -> Look:
        """What is in it."""
        way = self._walk.plan
        if way.ids is not None:
            self._values["ids"] = json(way.ids)
            return self._found("by_name", "", len(way.ids))
        if way.marks is not None:
            self._values["marks"] = json(way.marks)
            return self._found("by_mark", *self._end("by_mark", len(way.marks)))
        kinds = self._kinds() if way.kind else None
        is_deep = self._is_deep or (kinds is None and bool(way.kind))
        if kinds is None or (is_deep and len(kinds) > self._walk.window):
            source, width = "by_id", 1
        else:
            source, width = "by_kind", len(kinds) or 1
            self._values["kinds"] = json(kinds)
        end, reads = self._end(source, width) if is_deep else ("", 0)
        return self._found(source, end, reads)

    @property
    def _is_deep(self) -> bool:
        """Whether it is looked for in windows: also what an index has answered too slowly."""
        walk = self._walk
        return walk.plan.is_deep or walk.shape == "count" or walk.window < FIRST_WINDOW

    def _found(self, source: str, end: str, reads: int) -> Look:
        """One task more than is wanted tells that there are others."""
        walk = self._walk
        if walk.shape == "count":
            return Look(self._ask(f"count_{source}"), end, reads=reads)
        names = self._ask(f"names_{source}")
        rows, size = (names[: walk.left], 0) if walk.shape == "names" else self._tasks(names)
        if len(rows) < len(names):
            end = rows[-1][0] if rows else walk.before_id
        is_full = len(rows) < len(names) or len(rows) == walk.left
        return Look(rows, end, is_full, size, reads)

    def _tasks(self, names: Sequence[Row]) -> tuple[list[Row], int]:
        """The tasks while there is room, and their size; the first of a page always comes."""
        rows: list[Row] = []
        size = 0
        for name in names[: self._walk.left]:
            (row,) = self._ask_texts("one", {}, {"id": name[0]})
            more = _size(row)
            if size + more > self._walk.room and (rows or self._walk.rows):
                break
            rows.append(row)
            size += more
        return rows, size

    def _kinds(self) -> list[list[str]] | None:
        """The kinds that are wanted; None: there are too many."""
        self._values["most"] = KINDS_LOOKED
        rows = self._ask("kinds_of")
        kinds = [[*row[:3]] for row in rows if row[3]]
        return kinds if len(rows) < KINDS_LOOKED and len(kinds) <= KINDS_MOST else None

    def _end(self, source: str, width: int) -> tuple[str, int]:
        """Bound the window; each row that may be looked at counts."""
        size = min(self._walk.window, self._walk.reads)
        self._values["window"] = each = max(1, size // width)
        ((end,),) = self._ask(f"end_{source}")
        if end is not None:
            self._values["floor_id"] = end
        return end or "", each * width

    def _ask(self, name: str) -> list[Row]:
        return self._ask_texts(name, self._texts, self._values)


def _size(row: Row) -> int:
    return sum(len(value) for value in row if isinstance(value, str))
