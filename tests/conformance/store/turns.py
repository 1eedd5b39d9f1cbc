"""In which order a claim hands tasks out, and what limits allow: the model's part, without SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING

from taskhub.queues import QueueLimit
from taskhub.rates import Rate

if TYPE_CHECKING:
    from tests.conformance.store.model import Row

Start = tuple[int, str, str | None]
"""Microseconds, queue, key of a task that began."""


def urgency(row: Row) -> tuple[int, object, str]:
    """What is handed out first where nothing else is said."""
    return (-row.item.priority, row.item.run_at, row.item.id)


def offered(due: Sequence[Row], last: dict[str, str], most: int) -> Iterator[Row]:
    """The first `most` without a key, and with one, each in its order; together by urgency."""
    alone = sorted((row for row in due if row.item.group_key is None), key=urgency)
    in_turn = [row for row in due if row.item.group_key is not None]
    return merge(alone[:most], list(by_turns(in_turn, last))[:most], key=urgency)


def by_turns(rows: Sequence[Row], last: dict[str, str]) -> list[Row]:
    """One task of each key, then another one of each, from the key after the last one on."""
    lined: list[tuple[tuple[object, ...], Row]] = []
    for _, group in groupby(sorted(rows, key=_line), key=_line):
        for turn, row in enumerate(_spread(list(group))):
            queue, key = row.item.queue, str(row.item.group_key)
            was = key <= last.get(queue, "")
            lined.append(((-row.item.priority, turn, was, key, queue), row))
    return [row for _, row in sorted(lined, key=lambda pair: pair[0])]


def _line(row: Row) -> tuple[int, str, str]:
    return (row.item.priority, row.item.queue, str(row.item.group_key))


def _spread(rows: list[Row]) -> Iterable[Row]:
    """The types of a key take turns within it, the one that was due first before the others."""
    by_type: dict[str, list[Row]] = {}
    for row in sorted(rows, key=urgency):
        by_type.setdefault(row.item.type, []).append(row)
    most = max(map(len, by_type.values()))
    lines = list(by_type.values())
    return [line[n] for n in range(most) for line in lines if n < len(line)]


def began(starts: Iterable[Start], queue: str, key: str | None, rate: Rate, now: int) -> int:
    """How many count against a rate; what began in one slice of its time is one."""
    part = rate.seconds * 1_000_000 // 20
    since = now - rate.seconds * 1_000_000 - part
    return sum(
        at - at % part > since and queue == of and key in (None, its) for at, of, its in starts
    )


def room(limit: QueueLimit, running: Sequence[Row], starts: Sequence[Start], now: int) -> int:
    """How many more of the queue may begin."""
    left = [1_000]
    if limit.concurrency is not None:
        left.append(limit.concurrency - sum(row.item.queue == limit.queue for row in running))
    if limit.rate is not None:
        left.append(limit.rate.limit - began(starts, limit.queue, None, limit.rate, now))
    return min(left)


def room_of_key(
    limit: QueueLimit, key: str, running: Sequence[Row], starts: Sequence[Start], now: int
) -> int:
    """How many more of one key."""
    left = [1_000]
    if limit.key_concurrency is not None:
        mine = (limit.queue, key)
        count = sum((row.item.queue, row.item.group_key) == mine for row in running)
        left.append(limit.key_concurrency - count)
    if limit.key_rate is not None:
        left.append(limit.key_rate.limit - began(starts, limit.queue, key, limit.key_rate, now))
    return min(left)
