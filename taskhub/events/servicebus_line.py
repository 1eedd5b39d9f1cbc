"""Links to a topic of Azure Service Bus, within limits of time; none ever mends itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageLockLostError

from taskhub.config.event_urls import read_service_bus
from taskhub.config.sections import Secret
from taskhub.config.servicebus import STRING
from taskhub.errors import BusAway, BusRefused, ConfigProblem
from taskhub.events.servicebus_trouble import CUT, trouble
from taskhub.events.together import end

T = TypeVar("T")

Link = ServiceBusReceiver | ServiceBusSender
Received = Any
"""A ServiceBusReceivedMessage; the library's types are loose."""
UNREADABLE = "Unreadable"
"""The reason that a message is dead-lettered for."""
CLOSED = "the event bus is closed"
LOOK = 0.05
"""Seconds between two looks for the connection that the library makes."""
HANG_UP = 3.0
"""Seconds for a link to say good-bye; a service that is frozen gets none."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in seconds: to connect, to be answered, of silence before a look, and for its echo."""

    connect: float = 5.0
    command: float = 3.0
    quiet: float = 2.0
    echo: float = 2.0
    pace: float = 0.05
    """From one publishing to the next: what comes meanwhile goes out together."""


class Address(msgspec.Struct, frozen=True):
    """Which topic of which namespace, and who we are; its repr shows nothing of the key."""

    host: str
    topic: str
    key: Secret
    """The connection string; empty: an identity that Azure gives us."""
    name: str
    """What the service calls us in its own logs."""

    @classmethod
    def parse(cls, url: str, key: Secret, name: str) -> Address:
        """Raises ConfigProblem for `events.url`."""
        try:
            place = read_service_bus(url)
        except ValueError as error:
            raise ConfigProblem("events.url", str(error)) from None
        return cls(place.netloc, place.topic, key, name)


class Namespace:
    """Makes links; each of them is a connection of its own."""

    def __init__(self, address: Address) -> None:
        """Raises ConfigProblem where the connection string is none."""
        _quiet()
        self._address = address
        self._identity: Any = None
        self._client = self._made()

    def _made(self) -> ServiceBusClient:
        key = self._address.key.reveal()
        if not key:
            from azure.identity.aio import DefaultAzureCredential

            self._identity = DefaultAzureCredential()
            return ServiceBusClient(self._address.host, self._identity, retry_total=0)
        try:
            return ServiceBusClient.from_connection_string(key, retry_total=0)
        except ValueError:
            raise ConfigProblem("servicebus.connection_string", STRING) from None

    def sender(self) -> ServiceBusSender:
        """A link that publishes; it connects when it is used first."""
        address = self._address
        return self._client.get_topic_sender(
            address.topic, client_identifier=address.name, keep_alive=0
        )

    def receiver(self, subscription: str, ahead: int = 0) -> ServiceBusReceiver:
        """A link that receives; so many messages may come before they are asked for."""
        address = self._address
        return self._client.get_subscription_receiver(
            address.topic,
            subscription,
            client_identifier=address.name,
            prefetch_count=ahead,
            keep_alive=0,
        )

    async def close(self) -> None:
        """Give the identity's connections back; links are hung up by who has them."""
        if self._identity is not None:
            await self._identity.close()


async def within(
    seconds: float,
    work: Coroutine[Any, Any, T],
    link: Link,
    closed: asyncio.Future[None] | None = None,
) -> T:
    """Its result, of work with a link. Raises BusAway | BusRefused for whatever goes wrong, after
    so many seconds, and when the bus is closed meanwhile.
    """
    task = asyncio.ensure_future(work)
    awaited: set[asyncio.Future[Any]] = {task} if closed is None else {task, closed}
    wire = _wire(link)
    left = seconds
    try:
        while wire is None and left > 0.0 and not any(each.done() for each in awaited):
            await asyncio.wait(awaited, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
            wire, left = _wire(link), left - LOOK
        await asyncio.wait(awaited, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
    finally:
        wire = _wire(link) or wire
        await end([task])
        if wire is not None and _wire(link) is not wire:
            wire.transport.abort()
    if task.cancelled():
        is_closed = closed is not None and closed.done()
        raise BusAway(CLOSED) if is_closed else trouble(TimeoutError())
    if (error := task.exception()) is not None:
        raise trouble(error) from None  # its text may name hosts and users
    return task.result()


def _wire(link: Link) -> asyncio.StreamWriter | None:
    """Its connection: when something goes wrong the library forgets it, open as it may be."""
    connection = getattr(getattr(link, "_handler", None), "_connection", None)
    return getattr(getattr(connection, "_transport", None), "writer", None)


async def echo(
    receiver: ServiceBusReceiver, seconds: float, closed: asyncio.Future[None] | None = None
) -> None:
    """Whether somebody is there, and lets us in: a look that takes nothing."""
    look = receiver.peek_messages(max_message_count=1, timeout=seconds)
    await within(seconds, look, receiver, closed)


async def join(
    receiver: ServiceBusReceiver, seconds: float, closed: asyncio.Future[None] | None = None
) -> None:
    """Connect, and be let in; where the look says only that it failed, the link says why."""
    try:
        await echo(receiver, seconds, closed)
    except BusAway as error:
        if error.detail != CUT:
            raise
        asking = receiver.receive_messages(1, max_wait_time=seconds)
        await within(seconds + 1.0, asking, receiver, closed)
        raise


async def hang_up(link: Link) -> None:
    """Close, without waiting long for a service that may be frozen."""
    wire = _wire(link)
    with suppress(BusAway, BusRefused):  # it is given up, whatever it says to that
        await within(HANG_UP, link.close(), link)
    if wire is not None:
        wire.transport.abort()


async def complete(
    line: ServiceBusReceiver,
    messages: Sequence[Received],
    seconds: float,
    closed: asyncio.Future[None] | None = None,
) -> None:
    """They are done with; one whose lock has run out comes again, and is done with then."""
    done = asyncio.gather(*map(line.complete_message, messages), return_exceptions=True)
    for result in await within(seconds, _ended(done), line, closed):
        if isinstance(result, Exception) and not isinstance(result, MessageLockLostError):
            raise trouble(result)


async def give_back(line: ServiceBusReceiver, messages: Sequence[Received], seconds: float) -> None:
    """Let others have them at once."""
    given = asyncio.gather(*map(line.abandon_message, messages), return_exceptions=True)
    await within(seconds, _ended(given), line)


async def bury(
    line: ServiceBusReceiver,
    message: Received,
    why: str,
    seconds: float,
    closed: asyncio.Future[None] | None = None,
) -> None:
    """To the dead letters with it, where somebody may look at it."""
    work = line.dead_letter_message(message, reason=UNREADABLE, error_description=why)
    await within(seconds, work, line, closed)


async def _ended(works: asyncio.Future[list[Any]]) -> list[Any]:
    return await works


def _quiet() -> None:
    """The library logs each cut line with a traceback; what it means, we say ourselves."""
    logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL)
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
