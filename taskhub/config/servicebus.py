"""Rules for Azure Service Bus as event server, and what its connection string says; no library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import msgspec

from taskhub.config.event_urls import read_service_bus
from taskhub.config.issuers import Wrong
from taskhub.config.sections import Config

LIBRARY, IDENTITY = "azure.servicebus", "azure.identity"
NO_LIBRARY = "Service Bus needs its library: pip install 'taskhub[azure]'"
STRING = (
    "expected that of a shared access policy: "
    "Endpoint=sb://HOST/;SharedAccessKeyName=NAME;SharedAccessKey=KEY"
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,48}[A-Za-z0-9])?", re.ASCII)
_PLACES = re.compile(r"\{(instance|host)\}")


class Signed(msgspec.Struct, frozen=True):
    """What a connection string names beside its key."""

    host: str
    topic: str
    """Empty: it is good for the whole namespace."""


def rules(config: Config, is_there: Callable[[str], bool]) -> Iterator[Wrong]:
    """What is wrong, where the event server is a Service Bus."""
    if not config.events.is_service_bus:
        return
    section = config.servicebus
    wanted = (LIBRARY,) if section.connection_string else (LIBRARY, IDENTITY)
    if not all(is_there(library) for library in wanted):
        yield "events.url", NO_LIBRARY
    if not _NAME.fullmatch(_PLACES.sub("x", section.subscription)):
        wrong = "expected a name of letters, digits, dots, hyphens; {instance} and {host} in it"
        yield "servicebus.subscription", wrong
    if not _NAME.fullmatch(section.work):
        yield "servicebus.work", "expected a name of letters, digits, dots, hyphens"
    if section.connection_string:
        yield from _string(config.events.url, section.connection_string.reveal())


def _string(url: str, text: str) -> Iterator[Wrong]:
    key = "servicebus.connection_string"
    try:
        signed = read_connection_string(text)
        place = read_service_bus(url)
    except ValueError as error:
        if str(error) == STRING:  # what is wrong with the URL is said already
            yield key, STRING
        return
    if signed.host.lower() != place.netloc.lower():
        yield key, "expected one of the namespace that events.url names"
    elif signed.topic not in {"", place.topic}:
        yield key, "expected one of the topic that events.url names, or of its namespace"


def read_connection_string(text: str) -> Signed:
    """Raises ValueError with what was expected; never with what was given."""
    fields = dict(part.partition("=")[::2] for part in text.strip().rstrip(";").split(";"))
    known = {name.lower(): value for name, value in fields.items()}
    host = urlsplit(known.get("endpoint", "")).netloc
    has_key = bool(known.get("sharedaccesskeyname") and known.get("sharedaccesskey"))
    if not host or has_key == bool(known.get("sharedaccesssignature")):
        raise ValueError(STRING)
    return Signed(host, known.get("entitypath", ""))


def subscription_of(template: str, instance: str, host: str) -> str:
    """The name of one process's own subscription; what no name may hold becomes a hyphen."""
    filled = template.replace("{instance}", instance).replace("{host}", host)
    return re.sub(r"[^A-Za-z0-9._-]", "-", filled)[:50].strip("._-")
