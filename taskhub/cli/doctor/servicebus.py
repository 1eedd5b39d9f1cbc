"""Looks at Azure Service Bus: the topic, our key or identity, the subscription of the workers."""

from __future__ import annotations

import asyncio

from taskhub.app.backends import service_bus_address
from taskhub.cli.doctor.finding import Finding, fail, ok
from taskhub.config.sections import Config
from taskhub.errors import BusAway, BusRefused

NAME = "event server"


def look(config: Config) -> list[Finding]:
    """Every finding of the topic that `[events] url` names."""
    return [asyncio.run(_asked(config))]


async def _asked(config: Config) -> Finding:
    from taskhub.events.servicebus_line import Namespace, Patience, hang_up, join, within

    patience, work = Patience(), config.servicebus.work
    namespace = Namespace(service_bus_address(config, "doctor"))
    sender, receiver = namespace.sender(), namespace.receiver(work)
    try:
        await within(patience.connect, sender.create_message_batch(), sender)
        await join(receiver, patience.connect)
    except BusRefused as error:
        return fail(NAME, error.detail, "docs/service-bus.md says what there must be")
    except BusAway as error:
        return fail(NAME, error.detail, "tasks run meanwhile, but later; is port 5671 open to it?")
    finally:
        await hang_up(sender)
        await hang_up(receiver)
        await namespace.close()
    return ok(NAME, f"Service Bus answers; its topic takes messages, subscription {work} is there")
