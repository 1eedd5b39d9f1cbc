"""The queue in front of the log: whatever happens behind it, the program goes on."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskhub.obs.sinks import StreamTarget, ThreadSink

from tests.waiting import blocking_until

PIPE = 1_048_576  # more than any pipe holds


class Gate:
    """A target that writes only while it is open, as a disk that hangs."""

    def __init__(self) -> None:
        """Begin closed."""
        self.opened, self.entered = threading.Event(), threading.Event()
        self.data, self.reopened, self.is_closed = b"", 0, False

    def write(self, data: bytes) -> int:
        """Hang, then take all."""
        self.entered.set()
        self.opened.wait()
        self.data += data
        return len(data)

    def reopen(self) -> None:
        """Count it."""
        self.reopened += 1

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A hanging target; it is opened in the end, so that its thread can leave."""
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_a_hanging_disk_holds_nobody_up(gate: Gate) -> None:
    """What does not fit into the queue is dropped and counted; the rest comes when it can."""
    sink = ThreadSink(gate, limit=1_000, linger=0)

    for _ in range(100):
        sink.write(b"x" * 36)  # 100 bytes each, with what a queued line takes beside its own
    dropped = sink.dropped
    gate.opened.set()
    sink.close(10)

    assert dropped == 90
    assert gate.data == (b"x" * 36 + b"\n") * 10
    assert gate.is_closed


def test_after_a_jam_lines_are_taken_again(gate: Gate) -> None:
    """Room that was given back is used again."""
    sink = ThreadSink(gate, limit=100, linger=0)

    sink.write(b"first")
    sink.write(b"too much for so small a queue")
    gate.opened.set()
    blocking_until(lambda: gate.data == b"first\n" and not sink._taken - sink._done)
    sink.write(b"second")
    sink.close(10)

    assert (gate.data, sink.dropped) == (b"first\nsecond\n", 1)


def test_a_close_does_not_wait_for_ever(gate: Gate) -> None:
    """A hanging disk must not hang the stop of the program."""
    sink = ThreadSink(gate, linger=0)
    sink.write(b"x")
    gate.entered.wait()

    sink.close(0.01)
    sink.write(b"too late")

    assert sink.dropped == 1


def test_lines_that_wait_are_written_at_the_close(gate: Gate) -> None:
    """The last lines tell why a program has ended."""
    gate.opened.set()
    sink = ThreadSink(gate, linger=60)  # it would gather for a minute

    for number in range(3):
        sink.write(b"%d" % number)
    sink.close(10)

    assert gate.data == b"0\n1\n2\n"


def test_a_reopen_reaches_the_target(gate: Gate) -> None:
    """Also when no line comes."""
    sink = ThreadSink(gate, linger=0)

    sink.reopen()

    blocking_until(lambda: gate.reopened == 1)
    sink.close(10)


def test_what_waits_goes_where_the_log_has_moved_to(gate: Gate) -> None:
    """A full disk is left behind: whole lines there, whole lines here."""

    class Full(Gate):
        """Takes one line and the beginning of the next, then it is full."""

        def write(self, data: bytes) -> int:
            """Take what fits."""
            if self.data:
                self.entered.set()
                raise OSError(errno.ENOSPC, "full")
            self.data = data[:6]
            return len(self.data)

    full = Full()
    sink = ThreadSink(full, linger=0, retry=0.01)
    for word in (b"one", b"two", b"three"):
        sink.write(word)
    full.entered.wait()
    gate.opened.set()

    sink.move(gate)
    sink.write(b"four")
    sink.close(10)

    assert (full.data[:4], full.is_closed) == (b"one\n", True)
    assert gate.data in {b"three\nfour\n", b"two\nthree\nfour\n"}
    assert sink.dropped == (1 if len(full.data) > 4 else 0)


def test_a_closed_pipe_kills_nobody(pipe: tuple[int, int]) -> None:
    """`taskhub run | head -1` goes on working after head has left."""
    reader, writer = pipe
    sink = ThreadSink(StreamTarget(writer), linger=0)
    os.close(reader)

    sink.write(b"one")
    sink.write(b"two")

    blocking_until(lambda: sink.dropped == 2)
    sink.close(10)


def test_a_reader_that_stops_reading_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """A pager that waits for a key leaves the pipe full: the close is still soon."""
    target = StreamTarget(pipe[1])
    target.PATIENCE = 1
    sink = ThreadSink(target, limit=2 * PIPE, linger=0, retry=0.01)

    for _ in range(PIPE // 1_024):
        sink.write(b"x" * 1_023)
    sink.close(10)

    assert 0 < sink.dropped < PIPE // 1_024


def test_lines_of_several_processes_do_not_mix_in_a_pipe(pipe: tuple[int, int]) -> None:
    """Each write is of whole lines, as many as a pipe takes at once."""
    target, line = StreamTarget(pipe[1]), b"x" * 999 + b"\n"
    data, sizes = line * 10, []

    while data:
        sizes.append(target.write(data))
        data = data[sizes[-1] :]
    target.close()

    assert sizes == [4_000, 4_000, 2_000]


def test_a_line_longer_than_a_pipe_takes_is_still_written(pipe: tuple[int, int]) -> None:
    """A traceback may be: it goes in pieces."""
    target, line = StreamTarget(pipe[1]), b"x" * 9_999 + b"\n"

    sizes = [target.write(line), target.write(line[4_096:]), target.write(line[8_192:])]
    target.close()

    assert sizes == [4_096, 4_096, 1_808]


def test_in_a_file_not_even_long_lines_of_several_processes_mix(tmp_path: Path) -> None:
    """What comes as one write stays together there, however long it is."""
    with (tmp_path / "out.log").open("wb") as file:
        target, data = StreamTarget(file.fileno()), (b"x" * 9_999 + b"\n") * 3
        size = target.write(data)
        target.close()

    assert size == len(data)
