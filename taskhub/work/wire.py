"""What a worker and its processor say to each other, and how it is put into bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

import msgspec
from msgspec.structs import replace

from taskhub.attempts import Ended, StopReason
from taskhub.model import Lease
from taskhub.obs.telemetry import HandlerRaised, HandlerSaid
from taskhub.ports import Progress

LENGTH = struct.Struct("!I")
FRAME_LIMIT = 256 * 1024 * 1024
"""Bytes of one message: far more than any payload or result may have."""


class Setup(msgspec.Struct, frozen=True):
    """What a processor is told at its birth, through its lifeline."""

    work: int
    """The descriptor of its end of the line on which tasks come."""
    tickets: int
    """The descriptor of the pipe in which each of them has a ticket."""
    handlers: tuple[str, ...]
    folder: str | None
    settings: bytes
    """A snapshot of the configuration; it may hold secrets."""
    grace: float
    unit: str
    """The process that it works for: where its handlers' own spans come from."""


class Run(msgspec.Struct, frozen=True, tag=True):
    """To the processor: run this lease (JSON), after those before it, if its ticket is there.

    Beside it, as JSON too, the progress that its task has told and the results of its parents.
    """

    number: int
    """Its ticket's; grows from order to order."""
    lease: bytes
    progress: bytes | None = None
    results: tuple[bytes | None, ...] = ()


class Halt(msgspec.Struct, frozen=True, tag=True):
    """To the processor: stop this task, if it is the one that runs."""

    number: int
    reason: StopReason


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From the processor: the handlers are there."""


class Told(msgspec.Struct, frozen=True, tag=True):
    """From the processor: a handler has logged or raised."""

    said: HandlerSaid | None = None
    raised: HandlerRaised | None = None


class Reported(msgspec.Struct, frozen=True, tag=True):
    """From the processor: handlers have made progress."""

    reports: tuple[Progress, ...]


class Over(msgspec.Struct, frozen=True, tag=True):
    """From the processor: an attempt has ended; the next in line begins."""

    number: int
    ended: Ended
    seconds: float
    """How long its handler ran."""


Order = Run | Halt
Answer = Ready | Told | Reported | Over
M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()


def run_order(number: int, lease: Lease) -> Run:
    """The order to run a lease: as JSON, since that is what its payload is.

    Progress and results go beside it: msgspec reads no `Raw | None` but null.
    """
    if lease.item.progress is None and not lease.parents:
        return Run(number, msgspec.json.encode(lease))
    parents = tuple(replace(parent, result=None) for parent in lease.parents)
    bare = replace(lease, item=replace(lease.item, progress=None), parents=parents)
    results = tuple(_bytes(parent.result) for parent in lease.parents)
    return Run(number, msgspec.json.encode(bare), _bytes(lease.item.progress), results)


def lease_of(order: Run) -> Lease:
    """The lease of an order."""
    lease = msgspec.json.decode(order.lease, type=Lease)
    if order.progress is None and not order.results:
        return lease
    parents = tuple(
        replace(parent, result=_raw(result))
        for parent, result in zip(lease.parents, order.results, strict=True)
    )
    return replace(lease, item=replace(lease.item, progress=_raw(order.progress)), parents=parents)


def _framed(message: Order | Answer) -> bytes:
    data = _encoder.encode(message)
    return LENGTH.pack(len(data)) + data


def _bytes(text: msgspec.Raw | None) -> bytes | None:
    return None if text is None else bytes(text)


def _raw(text: bytes | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)


class Line(asyncio.Protocol, Generic[M]):
    """One end of the line: whole messages in, whole messages out.

    `on_message` is called for each message, in order; `on_end` once, when the other end has gone
    or talks nonsense.
    """

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[M],
        on_message: Callable[[M], None],
        on_end: Callable[[], None],
    ) -> None:
        self._decode, self._on_message, self._on_end = decoder.decode, on_message, on_end
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._written: asyncio.Future[None] | None = None
        """Pending while the other end has not read all that we wrote."""

    @classmethod
    async def over(cls, end: socket.socket, line: Line[M]) -> Line[M]:
        """Speak through this end of a socketpair; it is ours from now on."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: line, sock=end)
        return line

    def send(self, *messages: Order | Answer) -> None:
        """Write them behind what waits; what the other end does not live to read is lost."""
        if self._transport is not None:
            self._transport.write(b"".join(map(_framed, messages)))

    async def written(self) -> None:
        """Wait until all that was sent is in the kernel's hands: our death loses nothing of it."""
        if self._written is not None:
            await asyncio.shield(self._written)

    def close(self) -> None:
        """Hang up once all is written."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """(asyncio) The line is up."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)

    def pause_writing(self) -> None:
        """(asyncio) Not all could be written at once."""
        self._written = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """(asyncio) All is written."""
        if self._written is not None:
            self._written.set_result(None)
            self._written = None

    def connection_lost(self, exc: Exception | None) -> None:
        """(asyncio) The line is cut."""
        self._transport = None
        self.resume_writing()
        self._on_end()

    def data_received(self, data: bytes) -> None:
        """(asyncio) Some bytes have come: take the whole messages out."""
        self._buffer += data
        try:
            for frame in self._frames():
                self._on_message(self._decode(frame))
        except (msgspec.DecodeError, _TooLong):
            cast("asyncio.Transport", self._transport).abort()

    def _frames(self) -> Iterator[bytes]:
        buffer, head = self._buffer, LENGTH.size
        while len(buffer) >= head:
            end = head + LENGTH.unpack_from(buffer)[0]
            if end > FRAME_LIMIT:
                raise _TooLong
            if len(buffer) < end:
                return
            frame = bytes(buffer[head:end])
            del buffer[:end]
            yield frame


class _TooLong(Exception):
    """What came is no message of ours."""
