"""Reads characters: words, quotes, escapes, stars; it knows no field."""

from __future__ import annotations

import re
from typing import NamedTuple

from taskhub.errors import SearchError

ODD = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
STARS_LIMIT = 10
NOT_SPACE = re.compile(r"\S")


class Raw(NamedTuple):
    """One value as it was written: where, its pieces between stars, and whether it was quoted."""

    column: int
    pieces: tuple[str, ...]
    is_bare: bool


class Scanner:
    """A place in the text of a query; every failure names its column."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        if odd := ODD.search(text):
            self.at = odd.start()
            raise self.expected("no control characters")

    def expected(self, what: str, at: int | None = None) -> SearchError:
        """The error that says so, at this place or at another."""
        return SearchError((self.at if at is None else at) + 1, what)

    def skip_space(self) -> bool:
        """Go to the next word; False: there is none."""
        found = NOT_SPACE.search(self.text, self.at)
        self.at = found.start() if found else len(self.text)
        return found is not None

    def take(self, pattern: re.Pattern[str]) -> str:
        """What the pattern finds here, and go past it; empty where it finds nothing."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def next_is(self, character: str) -> bool:
        """Whether this comes next; then go past it."""
        is_next = self.text.startswith(character, self.at)
        self.at += len(character) if is_next else 0
        return is_next

    def value(self, stops: str = "") -> Raw:
        """A value up to a space or one of the stops; raises SearchError when nothing is there."""
        start, pieces, is_bare = self.at, [""], True
        while (c := self.text[self.at : self.at + 1]) and not c.isspace() and c not in stops:
            self.at += 1
            if c == "*":
                self._star(pieces)
                continue
            is_bare = is_bare and c not in '"\\'
            if c == '"':
                pieces[-1] += self.quoted()
            else:
                pieces[-1] += self._escaped() if c == "\\" else c
        if self.at == start:
            raise self.expected("a value, right after the operator or the comma")
        return Raw(start, tuple(pieces), is_bare)

    def _star(self, pieces: list[str]) -> None:
        """Two stars in a row say no more than one."""
        if pieces[-1] or len(pieces) == 1:
            pieces.append("")
        if len(pieces) > STARS_LIMIT + 1:
            raise self.expected(f"at most {STARS_LIMIT} stars in a value", self.at - 1)

    def quoted(self) -> str:
        """The rest of a text in quotes, whose opening one was just read."""
        start, text = self.at - 1, ""
        while (c := self.text[self.at : self.at + 1]) != '"':
            if not c:
                raise self.expected('a closing " to this one', start)
            self.at += 1
            text += self._escaped() if c == "\\" else c
        self.at += 1
        return text

    def _escaped(self) -> str:
        """A backslash takes from the next character whatever it would mean."""
        c = self.text[self.at : self.at + 1]
        if not c:
            raise self.expected("a character after the backslash", self.at - 1)
        self.at += 1
        return c
