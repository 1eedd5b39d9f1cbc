"""What an error of the Service Bus library means: it is away, or refuses us; retries nothing."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import exceptions as azure

from taskhub.errors import BusAway, BusRefused

AUTHENTICATION = (
    "Service Bus refuses our key or identity: check [servicebus] connection_string; without one, "
    "the identity of this process needs the roles Data Sender and Data Receiver on the topic"
)
IDENTITY = (
    "no identity for Service Bus: set [servicebus] connection_string, "
    "or give this process a managed identity"
)
NOT_THERE = (
    "Service Bus has no topic or no subscription of that name: "
    "check [events] url, and subscription and work in [servicebus]"
)
DISABLED = "Service Bus has our topic or subscription switched off"
CERTIFICATE = "the certificate of Service Bus is not trusted"
ABSENT = "Service Bus does not answer"
CUT = f"{ABSENT}: the line was cut"

REFUSED: tuple[tuple[type[BaseException], str], ...] = (
    (azure.ServiceBusAuthenticationError, AUTHENTICATION),
    (azure.ServiceBusAuthorizationError, AUTHENTICATION),
    (ClientAuthenticationError, IDENTITY),
    (azure.MessagingEntityNotFoundError, NOT_THERE),
    (azure.MessagingEntityDisabledError, DISABLED),
    (ssl.SSLCertVerificationError, CERTIFICATE),
)
AWAY: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "no answer in time"),
    (azure.OperationTimeoutError, "no answer in time"),
    (azure.ServiceBusQuotaExceededError, "a quota is used up, or the topic is full"),
    (azure.ServiceBusServerBusyError, "it is busy and slows us down"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "its name is not known"),
)


def trouble(error: BaseException) -> BusAway | BusRefused:
    """The error of ours that says it; never with words of the service's or of the configuration."""
    if isinstance(error, BusAway | BusRefused):
        return error
    causes = list(_causes(error))
    if refused := _named(causes, REFUSED):
        return BusRefused(refused)
    reason = _named(causes, AWAY) or _number(causes)
    return BusAway(f"{ABSENT}: {reason}" if reason else CUT)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from: the library wraps each several times."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "inner_exception", None) or getattr(error, "error", None)
        known = inner if isinstance(inner, BaseException) and id(inner) not in seen else None
        error = known or error.__cause__ or error.__context__


def _named(
    causes: list[BaseException], table: tuple[tuple[type[BaseException], str], ...]
) -> str | None:
    for cause in causes:
        for kind, text in table:
            if isinstance(cause, kind):
                return text
    return None


def _number(causes: list[BaseException]) -> str | None:
    numbers = (cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno)
    return next(map(os.strerror, numbers), None)
