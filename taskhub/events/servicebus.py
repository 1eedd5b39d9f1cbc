"""The event bus over a topic of Azure Service Bus: every process hears it by its subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from taskhub.bus import KINDS, BellKind, Signal, Subscribed
from taskhub.errors import BusAway
from taskhub.events.servicebus_line import (
    CLOSED,
    Address,
    Namespace,
    Patience,
    Received,
    bury,
    complete,
    echo,
    hang_up,
    join,
    within,
)
from taskhub.events.servicebus_messages import Unreadable, outgoing, rung_by
from taskhub.model import Event

AHEAD = 100
"""Messages that may wait for us here."""
GATHER = 0.01
"""Seconds in which bells that come together become one."""
AT_ONCE = 32
"""Messages put into a batch before others of this process have a turn."""


class ServiceBus:
    """An `EventBus` on a topic.

    `publish` is for one caller at a time, and one listener at a time hears the subscription.
    Never retries: who calls it decides when to try again.
    """

    def __init__(
        self,
        address: Address,
        channel: str,
        subscription: str,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        """`subscription` is this process's own. Raises ConfigProblem."""
        self._namespace = Namespace(address)
        self._channel, self._subscription, self._patience = channel, subscription, patience
        self._is_open = False
        self._out: ServiceBusSender | None = None
        self._sent_at = float("-inf")
        self._closed: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Take calls; the service need not be there yet."""
        self._is_open, self._closed = True, asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Hang up everywhere; may be called twice."""
        self._is_open = False
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        await self._drop()
        await self._namespace.close()

    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None:
        """As few batches as hold it all. Raises BusAway | BusRefused: then parts may be out.

        A line that was cut while nothing was said is replaced once; the ids of the messages keep
        those that had got through from coming twice.
        """
        self._check()
        messages = list(outgoing(self._channel, events, kinds))
        if not messages:
            return
        await self._pace()
        was_there = self._out is not None
        try:
            await self._send(messages)
        except BusAway:
            await self._drop()
            if not was_there:
                raise
            await self._send(messages)

    async def _pace(self) -> None:
        """A bell costs every listener a millisecond: let no more of them ring than anyone hears."""
        now = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._sent_at + self._patience.pace - now()))
        self._sent_at = now()

    async def _send(self, messages: Sequence[Any]) -> None:
        try:
            await self._batches(messages)
        except BaseException:
            await self._drop()
            raise

    async def _batches(self, messages: Sequence[Any]) -> None:
        patience = self._patience
        if (sender := self._out) is None:
            sender = self._out = self._namespace.sender()
            connecting = sender.create_message_batch()
            await within(patience.connect, connecting, sender, self._closed)
        await within(patience.command, _sent(sender, messages), sender, self._closed)

    async def subscribe(self) -> AsyncGenerator[Signal, None]:
        """Hear the bell; a dead or frozen service is noticed within `quiet` + `echo` seconds."""
        self._check()
        line = self._namespace.receiver(self._subscription, AHEAD)
        try:
            await join(line, self._patience.connect, self._closed)
            yield Subscribed()
            while True:
                messages = await self._heard(line)
                if kinds := await self._rung(line, messages):
                    yield BellKind(kinds)
                await complete(line, messages, self._patience.command, self._closed)
        finally:
            await hang_up(line)

    async def _heard(self, line: ServiceBusReceiver) -> list[Received]:
        """What has come, in the end; a silent service is asked whether it is there."""
        patience, closed = self._patience, self._closed
        while True:
            work = _received(line, patience.quiet)
            if messages := await within(patience.quiet + patience.echo, work, line, closed):
                return messages
            await echo(line, patience.echo, closed)

    async def _rung(self, line: ServiceBusReceiver, messages: list[Received]) -> frozenset[str]:
        """The kinds that they ring for; what cannot be read is put aside and stands for all."""
        kinds = frozenset[str]()
        for message in list(messages):
            try:
                kinds |= rung_by(message, self._channel)
            except Unreadable as error:
                kinds = KINDS
                messages.remove(message)
                await bury(line, message, str(error), self._patience.command, self._closed)
        return kinds

    async def _drop(self) -> None:
        if (sender := self._out) is not None:
            self._out = None
            await hang_up(sender)

    def _check(self) -> None:
        if not self._is_open:
            raise BusAway(CLOSED)


async def _received(line: ServiceBusReceiver, quiet: float) -> list[Received]:
    first = await line.receive_messages(1, max_wait_time=quiet)
    return first and first + await line.receive_messages(AHEAD, max_wait_time=GATHER)


async def _sent(sender: ServiceBusSender, messages: Sequence[Any]) -> None:
    batch = await sender.create_message_batch()
    for number, message in enumerate(messages):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if not _fits(batch, message) and len(batch):
            await sender.send_messages(batch)
            batch = await sender.create_message_batch()
            _fits(batch, message)  # one that fits into none is only a hint, too
    await sender.send_messages(batch)


def _fits(batch: ServiceBusMessageBatch, message: Any) -> bool:
    try:
        batch.add_message(message)
    except MessageSizeExceededError:
        return False
    return True
