"""Reads server-sent events from bytes, as the HTML standard has it; opens no connection."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

LIMIT = 1_048_576
"""Bytes of one event; a TaskHub's are a few hundred."""


class Message(msgspec.Struct, frozen=True):
    """One event: its type, its data, and the id of the last event that had one."""

    type: str
    data: str
    id: str


class TooLong(ValueError):
    """An event that does not end."""


class Parser:
    """Takes pieces as they come; gives the events that they complete."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.pause: float | None = None
        """Seconds that the server wants us to wait before we come back."""
        self._rest: list[bytes] = []
        self._after_return, self._is_first = False, True
        self._type, self._data, self._id = "", list[str](), last_id
        self._waiting, self._size = 0, 0

    def feed(self, piece: bytes) -> list[Message]:
        """The events that end in this piece; raises TooLong."""
        read = (self._line(self._plain(line)) for line in self._lines(piece))
        return [message for message in read if message is not None]

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in this piece, whatever ends them; the rest waits for more."""
        if self._after_return:
            piece = piece.removeprefix(b"\n")
        self._after_return = piece.endswith(b"\r") or (self._after_return and not piece)
        *ended, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in ended:
            yield b"".join([*self._rest, line])
            self._rest, self._waiting = [], 0
        self._rest.append(rest)
        self._waiting += len(rest)
        if self._waiting + self._size > LIMIT:
            raise TooLong("an event is longer than 1 MiB")

    def _plain(self, line: bytes) -> str:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.decode("utf-8", "replace")

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._ended()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
                self._size += len(value) + 1
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdecimal():
                self.pause = int(value[:9]) / 1_000
        return None

    def _ended(self) -> Message | None:
        """A blank line: without data there was no event."""
        kind, lines, self._type, self._data, self._size = self._type, self._data, "", [], 0
        self.last_id = self._id
        return Message(kind or "message", "\n".join(lines), self._id) if lines else None
