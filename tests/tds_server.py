"""A peer that speaks enough TDS for the real ODBC drivers, and does what a test tells it.

It is no SQL Server: it takes any login, and answers each batch of statements with what the test has
put down for it: rows, an error by its number, or silence. What the drivers make of that is real.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PRELOGIN, LOGIN, ATTENTION, REMOTE_CALL = 0x12, 0x10, 0x06, 0x03
PACKET = 4096
NO_ENCRYPTION = b"\x02"


def _text(word: str) -> bytes:
    return bytes([len(word)]) + word.encode("utf-16-le")


def _long_text(word: str) -> bytes:
    return struct.pack("<H", len(word)) + word.encode("utf-16-le")


def _token(kind: int, body: bytes) -> bytes:
    return struct.pack("<BH", kind, len(body)) + body


def done(status: int = 0, count: int = 0) -> bytes:
    """The end of a statement."""
    return struct.pack("<BHHQ", 0xFD, status, 0, count)


def returned() -> bytes:
    """The end of a call with values, or of one by name."""
    return struct.pack("<BiBHHQ", 0x79, 0, 0xFE, 0, 0, 0)


def error(number: int, text: str = "something is wrong", state: int = 1) -> bytes:
    """An error as the server tells it."""
    body = struct.pack("<iBB", number, state, 16) + _long_text(text) + _text("server") + _text("")
    return _token(0xAA, body + struct.pack("<i", 1)) + done(status=2)


def rows(*numbers: int, more: bool = False) -> bytes:
    """A result with one column of whole numbers; `more`: another part follows."""
    head = struct.pack("<BHIHB", 0x81, 1, 0, 8, 0x38) + _text("n")
    each = b"".join(struct.pack("<Bi", 0xD1, number) for number in numbers)
    return head + each + done(0x10 | more, len(numbers))


def welcome() -> bytes:
    """The answer to a login."""
    collation = bytes.fromhex("0904d00034")
    size = _text(str(PACKET))
    program = b"\x01\x74\x00\x00\x04" + _text("Microsoft SQL Server") + b"\x10\x00\x03\xe8"
    return b"".join(
        (
            _token(0xE3, b"\x01" + _text("tasks") + _text("master")),
            _token(0xE3, b"\x07\x05" + collation + b"\x00"),
            _token(0xAD, program),
            _token(0xE3, b"\x04" + size + size),
            done(),
        )
    )


@dataclass
class TdsServer:
    """Listens on `port`; what it says to a batch is the first entry whose key the batch holds."""

    answers: dict[str, bytes | None] = field(default_factory=dict)
    """None: silence."""
    once: dict[str, bytes | None] = field(default_factory=dict)
    """Said before these, and only once."""
    logging_in: list[bytes] = field(default_factory=list)
    """What the next logins are told; then they are welcome."""
    freezes: bool = False
    """It freezes in the midst of its next answer, after the first packet."""
    is_frozen: bool = False
    """It answers nothing any more, not even that it has stopped what it was told to stop."""
    heard: list[str] = field(default_factory=list)
    """The batches, and calls with values as far as they are text."""
    logins: list[bytes] = field(default_factory=list)
    port: int = 0
    _lines: list[socket.socket] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[TdsServer]:
        """Listen until the end of this block, then cut all connections."""
        with socket.create_server(("127.0.0.1", self.port)) as listening:
            self.port = listening.getsockname()[1]
            threads = [threading.Thread(target=self._listen, args=(listening,))]
            threads[0].start()
            try:
                yield self
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                self.cut()
                threads[0].join()

    def cut(self) -> None:
        """End every connection, as a server does that dies."""
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _listen(self, listening: socket.socket) -> None:
        threads = []
        with suppress(OSError):
            while True:
                line, _ = listening.accept()
                self._lines.append(line)
                threads.append(threading.Thread(target=self._serve, args=(line,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError, EOFError):
            while True:
                answer = self._answer(*_packet(line))
                if answer is not None and not self.is_frozen:
                    _send(line, answer, only_first=self.freezes)
                    self.is_frozen = self.freezes

    def _answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == PRELOGIN:
            head = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF)
            return head + b"\x10\x00\x03\xe8\x00\x00" + NO_ENCRYPTION
        if kind == LOGIN:
            self.logins.append(body)
            return self.logging_in.pop(0) if self.logging_in else welcome()
        if kind == ATTENTION:
            return done(status=0x20)
        return self._to_batch(kind, body)

    def _to_batch(self, kind: int, body: bytes) -> bytes | None:
        text = body[struct.unpack("<I", body[:4])[0] :]
        said = text.decode("utf-16-le", "replace") + text[1:].decode("utf-16-le", "replace")
        self.heard.append(said)
        nothing = returned() if kind == REMOTE_CALL else done()
        for key in [key for key in self.once if key in said]:
            return self.once.pop(key)
        return next((answer for key, answer in self.answers.items() if key in said), nothing)

    def begun(self, word: str) -> int:
        """How many batches that hold this word have come."""
        return sum(word in said for said in self.heard)


def _packet(line: socket.socket) -> tuple[int, bytes]:
    """One message, of as many packets as it has."""
    body = b""
    while True:
        kind, status, length = struct.unpack(">BBH", _exactly(line, 8)[:4])
        body += _exactly(line, length - 8)
        if status & 1:
            return kind, body


def _exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = line.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _send(line: socket.socket, body: bytes, *, only_first: bool) -> None:
    room = PACKET - 8
    for start in range(0, room if only_first else len(body), room):
        piece = body[start : start + room]
        is_last = start + room >= len(body)
        line.sendall(struct.pack(">BBHHBB", 4, is_last, len(piece) + 8, 51, 1, 0) + piece)
