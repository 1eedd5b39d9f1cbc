"""Reads `[work.limits.NAME]`: what a queue allows; it counts nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from taskhub.config.sections import QueueSection, WorkSection
from taskhub.queues import QueueLimit
from taskhub.rates import MOST, UNITS, Rate, read_rate

PLACE = "work.limits"
MOST_QUEUES = 100
QUEUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,99}", re.ASCII)
"""Of a queue that has limits: as of every queue, but without dots, which part keys."""

Wrong = tuple[str, str]


def rules(limits: Mapping[str, QueueSection]) -> Iterator[Wrong]:
    """What is wrong: the key, and what was expected."""
    if len(limits) > MOST_QUEUES:
        yield PLACE, f"expected at most {MOST_QUEUES} queues with limits"
    for name, limit in limits.items():
        place = f"{PLACE}.{name}"
        if not QUEUE_NAME.fullmatch(name):
            wanted = "expected a queue's name of letters, digits and any of _ : - , at most 100"
            yield f"{place}.concurrency", wanted
        for key, text in (("rate", limit.rate), ("key_rate", limit.key_rate)):
            if not _is_rate(text):
                yield f"{place}.{key}", f"expected 1 to {MOST} a {', '.join(UNITS)}: 100/second"


def limits_of(work: WorkSection) -> tuple[QueueLimit, ...]:
    """What a claim must keep to."""
    return tuple(_limit(name, section) for name, section in work.limits.items())


def limit_of(work: WorkSection, queue: str) -> QueueLimit | None:
    """The limits of one queue, where it has any."""
    section = work.limits.get(queue)
    return None if section is None else _limit(queue, section)


def _limit(name: str, section: QueueSection) -> QueueLimit:
    return QueueLimit(
        queue=name,
        concurrency=section.concurrency or None,
        rate=_rate(section.rate),
        key_concurrency=section.key_concurrency or None,
        key_rate=_rate(section.key_rate),
    )


def _rate(text: str) -> Rate | None:
    return read_rate(text) if text else None


def _is_rate(text: str) -> bool:
    try:
        _rate(text)
    except ValueError:
        return False
    return True
