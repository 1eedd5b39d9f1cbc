"""Handing tasks out: the most urgent first; where keys or limits are used, turn by turn and within.

What a limit allows is counted from the rows that run, and for rates from what has begun in the last
while: nothing is kept that somebody would have to give back.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from taskhub.model import EventType
from taskhub.ports import Claim, Claimed
from taskhub.queues import QueueLimit
from taskhub.rates import Rate
from taskhub.store.steps import following
from taskhub.store.steps.batch import LIMITS, PAUSES, Batch
from taskhub.store.steps.rows import Row, json, lease_of

WALK = 4_000
"""Keys of a queue that a claim looks at, at most: the next claim goes on where it has stopped."""
SLICES = 20
"""Slices of a rate's time: what began is forgotten a slice at a time, never too early."""
WHOLE = ""
"""Stands for the whole queue where a key would stand."""

QUEUE, PRIORITY, RUN_AT, ID, GROUP_KEY = 4, 5, 10, 1, 19
"""Places in a row of the `lease` columns."""


def claim(batch: Batch, group: Sequence[tuple[int, Claim]]) -> None:
    """Hand out the most urgent due tasks, claim by claim; no pause is made meanwhile."""
    batch.transaction.together(PAUSES)
    for place, write in group:
        if write.limits or (not write.suspects and batch.ask("any_in_turn", {})[0][0]):
            rows, is_held = _within_limits(batch, write)
        else:
            rows, is_held = _due(batch, write, max(0, write.limit)), False
            _take(batch, write, rows)
        now = batch.now.utc
        leases = [lease_of(row, now, suspect=write.suspects) for row in rows]
        if any(lease.item.after for lease in leases):
            leases = following.with_parents(batch, leases)
        batch.results[place] = Claimed(leases, is_held)
        batch.tell(EventType.STARTED, [row[1:3] for row in rows])


def _due(
    batch: Batch, write: Claim, limit: int, full: Sequence[str] = (), limits: str = "[]"
) -> list[Row]:
    """Due tasks without a key; or the first suspect, whatever it has."""
    values = _asked(batch, write, limit, full)
    if not write.suspects:
        rows = batch.ask("due", values)
        rows.sort(key=_by_urgency)
        return rows
    return batch.ask("due_suspect", values | {"limits": limits})


def _asked(batch: Batch, write: Claim, limit: int, full: Sequence[str]) -> dict[str, object]:
    return {
        "types": json(write.types),
        "queues": json(write.queues) if write.queues else None,
        "full": json(full) if full else None,
        "now": batch.now.micros,
        "limit": limit,
    }


def _by_urgency(row: Row) -> tuple[int, int, str]:
    return (-row[PRIORITY], row[RUN_AT], row[ID])


def _take(batch: Batch, write: Claim, rows: Sequence[Row]) -> None:
    if not rows:
        return
    values = {
        "owner": write.owner,
        "until": batch.now.boottime + write.lease,
        "now": batch.now.micros,
        "rows": json([row[0] for row in rows]),
    }
    taken = batch.change("claim", values)
    assert taken == len(rows), "the transaction is not alone"


# ---- keys and limits ---------------------------------------------------------------------------

Offer = tuple[Row, int]
"""A task that may begin, and how many more of its key may."""


@dataclass(slots=True)
class Choice:
    """What one round takes of what it is offered, as long as there is room."""

    most: int
    room: dict[str, int]
    """Of queues that have a limit."""
    rows: list[Row] = field(default_factory=list)
    is_held: bool = False
    """Whether something was due and had no room in its queue."""
    of_key: Counter[tuple[str, str]] = field(default_factory=Counter)

    def offer(self, row: Row, room_of_key: int) -> None:
        """Take it if that breaks no limit."""
        queue, key = row[QUEUE], row[GROUP_KEY]
        if len(self.rows) >= self.most:
            return
        if self.room.get(queue, 1) <= 0:
            self.is_held = True
            return
        if key is not None:
            if self.of_key[queue, key] >= room_of_key:
                self.is_held = True
                return
            self.of_key[queue, key] += 1
        if queue in self.room:
            self.room[queue] -= 1
        self.rows.append(row)

    def offer_all(self, offers: Iterable[Offer]) -> None:
        """One after the other."""
        for row, room_of_key in offers:
            self.offer(row, room_of_key)


def _within_limits(batch: Batch, write: Claim) -> tuple[list[Row], bool]:
    """Round after round: a queue that has become full leaves its place to others.

    Also whether a limit may have kept something back, or another claim would look at more keys.
    """
    batch.transaction.apart(LIMITS)
    most = min(1, write.limit) if write.suspects else max(0, write.limit)
    rows: list[Row] = []
    has_stopped = False
    while True:
        choice = Choice(most - len(rows), _rooms(batch, write.limits))
        stops = _choose(batch, write, choice)
        _begin(batch, write, choice.rows, stops)
        rows += choice.rows
        has_stopped = has_stopped or bool(stops)
        if len(rows) >= most or not (choice.rows and choice.is_held):
            return rows, has_stopped or bool(write.limits)


def _choose(batch: Batch, write: Claim, choice: Choice) -> dict[str, str]:
    """Take what there is room for; the keys at which it has looked at no more, by their queues."""
    full = [queue for queue, left in choice.room.items() if left <= 0]
    limits = json([_bound(batch, limit) for limit in write.limits])
    alone = [(row, choice.most) for row in _due(batch, write, choice.most, full, limits)]
    if write.suspects:
        choice.offer_all(alone)
        return {}
    values = _asked(batch, write, choice.most, full) | {"limits": limits, "walk": WALK}
    in_turn = [(row[1:], row[0]) for row in batch.ask("due_in_turn", values)]
    stops = _stops(batch, values) if len(in_turn) < choice.most else {}
    if write.limits:
        choice.offer_all(heapq.merge(alone, in_turn, key=_offer_by_urgency))
    else:
        choice.rows = [row for row, _ in _merged(alone, in_turn)[: choice.most]]
    return stops


def _merged(alone: list[Offer], in_turn: list[Offer]) -> list[Offer]:
    """Both by urgency: mostly there is only one of them."""
    if alone and in_turn:
        return list(heapq.merge(alone, in_turn, key=_offer_by_urgency))
    return alone or in_turn


def _offer_by_urgency(offer: Offer) -> tuple[int, int, str]:
    return _by_urgency(offer[0])


def _stops(batch: Batch, values: Mapping[str, object]) -> dict[str, str]:
    """Where a look at the keys of a queue has ended before it had gone round.

    Of several types and priorities the first counts: so no key of any of them is passed over.
    """
    found: dict[str, tuple[int, str]] = {}
    for queue, is_round, key in batch.ask("walked", values):
        found[queue] = min(found.get(queue, (is_round, key)), (is_round, key))
    return {queue: key for queue, (_, key) in found.items()}


def _bound(batch: Batch, limit: QueueLimit) -> tuple[str, int | None, int | None, int]:
    """What the statements must know of a queue's limits for keys."""
    rate = limit.key_rate
    since = 0 if rate is None else since_of(rate, batch.now.micros)
    return limit.queue, limit.key_concurrency, None if rate is None else rate.limit, since


def _slice(rate: Rate) -> int:
    """Microseconds in which starts are counted together."""
    return max(1, rate.seconds * 1_000_000 // SLICES)


def since_of(rate: Rate, now: int) -> int:
    """Slices that begin later than this count; the oldest of them counts whole."""
    return now - rate.seconds * 1_000_000 - _slice(rate)


def _rooms(batch: Batch, limits: Sequence[QueueLimit]) -> dict[str, int]:
    """How many tasks may begin in each queue that has a limit as a whole."""
    names = [limit.queue for limit in limits if limit.concurrency is not None]
    room: dict[str, int] = {}
    running: dict[str, int] = {}
    if names:
        running.update(batch.ask("running_of", {"queues": json(names)}))
    for limit in limits:
        left = []
        if limit.concurrency is not None:
            left.append(limit.concurrency - running.get(limit.queue, 0))
        if limit.rate is not None:
            left.append(limit.rate.limit - _started(batch, limit.queue, limit.rate))
        if left:
            room[limit.queue] = min(left)
    return room


def _started(batch: Batch, queue: str, rate: Rate) -> int:
    values = {"queue": queue, "key": WHOLE, "since": since_of(rate, batch.now.micros)}
    count: int = batch.ask("started_of", values)[0][0]
    return count


def _begin(batch: Batch, write: Claim, rows: Sequence[Row], stops: dict[str, str]) -> None:
    """Hand the rows out; keep whose turn it was, and what rates must know."""
    _take(batch, write, rows)
    last = {row[QUEUE]: row[GROUP_KEY] for row in rows if row[GROUP_KEY] is not None} | stops
    if not write.suspects:
        for queue, key in last.items():
            batch.change("turn", {"queue": queue, "key": key, "now": batch.now.micros})
    for limit in write.limits:
        mine = [row for row in rows if row[QUEUE] == limit.queue]
        if limit.rate is not None and mine:
            _count(batch, limit.queue, limit.rate, {WHOLE: len(mine)})
            _forget(batch, "forget_starts", limit.queue, limit.rate)
        keys = Counter(row[GROUP_KEY] for row in mine if row[GROUP_KEY] is not None)
        if limit.key_rate is not None and keys:
            _count(batch, limit.queue, limit.key_rate, keys)
            most = 2 * len(keys)  # they go twice as fast as they come
            _forget(batch, "forget_keys", limit.queue, limit.key_rate, most)


def _count(batch: Batch, queue: str, rate: Rate, counts: Mapping[str, int]) -> None:
    at = batch.now.micros - batch.now.micros % _slice(rate)
    batch.each("start", [(queue, key, at, count) for key, count in counts.items()])


def _forget(batch: Batch, statement: str, queue: str, rate: Rate, most: int = 0) -> None:
    values = {"queue": queue, "since": since_of(rate, batch.now.micros), "limit": most}
    batch.change(statement, values)
