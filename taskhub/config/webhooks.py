"""Reads `[outbound.webhooks.NAME]`: who is told of which events; it calls nobody."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from taskhub.config.sections import Config, WebhookSection
from taskhub.config.signing import wrong_secrets
from taskhub.config.units import UNIT_NAME, actors
from taskhub.model import NAME_PATTERN, EventType
from taskhub.telling import DELIVERY_QUEUE

Wrong = tuple[str, str]
"""The key, and what was expected."""

PLACE = "outbound.webhooks"
LIMIT = 32
FILTERS = 100
URL_LIMIT = 2_048
URL_PATTERN = (
    r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f\\@/?#]+(?:[/?#][^\x00-\x20\x7f\\]*)?$(?!\n)"
)
"""http or https, a host and no user before it, no blanks, no backslashes."""


def rules(webhooks: Mapping[str, WebhookSection]) -> Iterator[Wrong]:
    """What is wrong, whichever unit runs."""
    if len(webhooks) > LIMIT:
        yield PLACE, f"expected at most {LIMIT} webhooks"
    for name, hook in webhooks.items():
        place = f"{PLACE}.{name}"
        if not UNIT_NAME.fullmatch(name):
            wanted = "expected a name of small letters, digits and hyphens, at most 32"
            yield f"{place}.url", wanted
        if len(hook.url) > URL_LIMIT or not re.match(URL_PATTERN, hook.url):
            yield f"{place}.url", "expected http:// or https://, a host, and no user before it"
        if wrong := wrong_secrets(hook.secret.reveal()):
            yield f"{place}.secret", wrong
        yield from ((f"{place}.events", wrong) for wrong in _events(hook.events))
        yield from _names(f"{place}.types", hook.types, may_end_in_star=True)
        yield from _names(f"{place}.queues", hook.queues, may_end_in_star=False)


def doubts(config: Config, unit: str) -> Iterator[str]:
    """Why webhooks may be told nothing though nothing is wrong: another process may do it."""
    here = actors(config.units, unit)
    if not config.outbound.webhooks or "pool" not in here:
        return
    if "webhooks" not in here:
        yield f"the unit {unit} has no webhooks: other processes must run that actor"
    if config.work.queues and DELIVERY_QUEUE not in config.work.queues:
        yield f"work.queues does not name {DELIVERY_QUEUE}: other workers must serve that queue"


def _events(events: tuple[str, ...]) -> Iterator[str]:
    known = [str(event) for event in EventType]
    if not events:
        yield f"expected some of {', '.join(known)}"
    for text in events:
        if text not in known:
            near = difflib.get_close_matches(text, known, n=1)
            yield f"did you mean {near[0]}?" if near else f"expected some of {', '.join(known)}"


def _names(key: str, names: tuple[str, ...], *, may_end_in_star: bool) -> Iterator[Wrong]:
    if len(names) > FILTERS:
        yield key, f"expected at most {FILTERS}"
    for name in names:
        bare = name.removesuffix("*") if may_end_in_star else name
        if bare and not re.match(NAME_PATTERN, bare):
            star = ", perhaps with a * at the end" if may_end_in_star else ""
            yield key, f"expected names of letters, digits, _ . : -{star}"
