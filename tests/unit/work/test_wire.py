"""The line between a worker and its processor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from taskhub.attempts import StopReason, Stubborn
from taskhub.model import Parent, Status
from taskhub.ports import Finish
from taskhub.work.wire import FRAME_LIMIT, LENGTH, Answer, Line, Over, Ready, lease_of, run_order

from tests.unit.work.making import TASK, lease
from tests.waiting import Signal, turns


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a line."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class _Reader:
    """A line that notes what it hears."""

    def __init__(self) -> None:
        self.heard: Signal[Answer] = Signal()
        self.ended: Signal[None] = Signal()
        self.line = Line(msgspec.msgpack.Decoder(Answer), self.heard, self._end)

    def _end(self) -> None:
        self.ended(None)


def _frame(message: object) -> bytes:
    data = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(data)) + data


def test_a_lease_survives_the_line_with_its_payload_untouched() -> None:
    """It is JSON that we never parse: not a digit of a number may change."""
    sent = lease(payload={"x": [1, 2.50, "ä", None]})

    assert lease_of(run_order(1, sent)) == sent


@pytest.mark.parametrize("told", [None, b'{"fraction":0.5,"text":"","data":7}', b"null"])
def test_what_a_task_has_told_before_comes_along(told: bytes | None) -> None:
    """A processor that could not read it would be killed for it, again and again."""
    sent = lease(progress=told)

    assert lease_of(run_order(1, sent)) == sent


def test_what_parents_have_made_goes_over_the_line() -> None:
    """A handler in a process of its own is given the same."""
    parents = (
        Parent(id=TASK, status=Status.DONE, result=msgspec.Raw(b'{"x": 2.50}')),
        Parent(id=TASK, status=None),
    )
    sent = msgspec.structs.replace(lease(), parents=parents)

    assert lease_of(run_order(1, sent)).parents == parents


@pytest.mark.parametrize(
    "ended",
    [
        Finish(id=TASK, fence=1, status=Status.DONE, result=b"1"),
        Stubborn(StopReason.TIMEOUT, Finish(id=TASK, fence=1, status=Status.FAILED, error="x")),
    ],
)
async def test_messages_come_whole_however_the_bytes_are_cut(
    ends: tuple[socket.socket, socket.socket], ended: Finish | Stubborn
) -> None:
    """A stream knows no messages."""
    reader, messages = _Reader(), [Ready(), Over(1, ended, 0.5), Ready()]
    await Line.over(ends[0], reader.line)

    for byte in b"".join(map(_frame, messages)):
        ends[1].send(bytes([byte]))
        await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, no time passes

    assert [await reader.heard.next() for _ in messages] == messages
    reader.line.close()


@pytest.mark.parametrize(
    "nonsense",
    [LENGTH.pack(1) + b"\xc1", _frame(["no", "message"]), LENGTH.pack(FRAME_LIMIT)],
)
async def test_nonsense_ends_the_line(
    ends: tuple[socket.socket, socket.socket], nonsense: bytes
) -> None:
    """A handler may write into any descriptor it finds: better no processor than a mad one."""
    reader = _Reader()
    await Line.over(ends[0], reader.line)

    ends[1].send(nonsense)

    await reader.ended.next()


async def test_what_was_written_is_told_once_the_kernel_has_all_of_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """A processor begins nothing before: what it did last would be lost with it."""
    reader, bulky = (
        _Reader(),
        Over(1, Finish(id=TASK, fence=1, status=Status.DONE, result=bytes(9**6)), 0),
    )
    await Line.over(ends[0], reader.line)

    await reader.line.written()
    reader.line.send(bulky)
    writing = asyncio.create_task(reader.line.written())
    await turns()
    assert not writing.done()
    while not writing.done():
        with suppress(BlockingIOError):
            ends[1].recv(2**16, socket.MSG_DONTWAIT)
        await turns()
    reader.line.send(bulky)
    ends[1].close()
    await reader.line.written()


async def test_the_end_of_the_other_side_is_heard_after_its_last_message(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """It may have died right after its answer: the answer counts."""
    reader = _Reader()
    await Line.over(ends[0], reader.line)

    ends[1].send(_frame(Ready()))
    ends[1].close()

    assert await reader.heard.next() == Ready()
    await reader.ended.next()
    reader.line.send(Ready())
    reader.line.close()
