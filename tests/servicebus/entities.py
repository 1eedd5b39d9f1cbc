"""A topic and its subscriptions as Service Bus has them: locks, deliveries, doubles; no AMQP."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

DEAD = "$deadletterqueue"

now = time.monotonic


@dataclass(eq=False)
class Kept:
    """A message in a subscription."""

    message: Any
    number: int
    ends: float
    deliveries: int = 0
    locked_until: float = 0.0
    token: bytes = b""


@dataclass(eq=False)
class Subscription:
    """`subjects`: what its rule lets in; empty: everything."""

    lock: float = 30.0
    most: int = 10
    subjects: frozenset[str] = frozenset()
    waiting: deque[Kept] = field(default_factory=deque)
    locked: dict[bytes, Kept] = field(default_factory=dict)
    dead: deque[Kept] = field(default_factory=deque)
    reasons: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    """How often each thing was done."""

    def take(self, token: bytes) -> Kept | None:
        """The next message, under a lock that bears this token."""
        while self.waiting:
            kept = self.waiting.popleft()
            if kept.ends > now():
                kept.token, kept.locked_until = token, now() + self.lock
                self.locked[token] = kept
                self.told["delivered"] += 1
                return kept
            self.told["expired"] += 1
        return None

    def settle(self, token: bytes, what: str, reason: str = "") -> bool:
        """Whether the lock still held."""
        self.sweep()
        if (kept := self.locked.pop(token, None)) is None:
            self.told["lock lost"] += 1
            return False
        self.told[what] += 1
        if what == "abandoned":
            self._again(kept)
        elif what == "released":
            self.waiting.appendleft(kept)
        elif what == "dead-lettered":
            self._die(kept, reason)
        return True

    def renew(self, token: bytes) -> float | None:
        """Seconds that the lock holds from now; None: it is lost."""
        self.sweep()
        if (kept := self.locked.get(token)) is None:
            return None
        kept.locked_until = now() + self.lock
        self.told["renewed"] += 1
        return self.lock

    def sweep(self) -> bool:
        """Whether a lock has run out; its message can be had again."""
        late = [token for token, kept in self.locked.items() if kept.locked_until <= now()]
        for token in late:
            self.told["lock ran out"] += 1
            self._again(self.locked.pop(token))
        return bool(late)

    def _again(self, kept: Kept) -> None:
        kept.deliveries += 1
        if kept.deliveries >= self.most:
            self._die(kept, "MaxDeliveryCountExceeded")
        else:
            self.waiting.appendleft(kept)

    def _die(self, kept: Kept, reason: str) -> None:
        self.dead.append(kept)
        self.reasons.append(reason)

    def state(self) -> dict[str, Any]:
        """All of it that can be said in JSON."""
        held = {"waiting": len(self.waiting), "locked": len(self.locked), "dead": len(self.dead)}
        return held | {"reasons": self.reasons} | self.told


@dataclass(eq=False)
class Topic:
    """Hands a copy of each message to each subscription whose rule lets it in."""

    subscriptions: dict[str, Subscription]
    window: float = 60.0
    """Seconds in which a message id is not taken twice; 0: duplicates are taken."""
    refuses: str = ""
    """The condition that every message is refused with; empty: none is."""
    seen: dict[str, float] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    _numbers: Any = field(default_factory=lambda: count(1))

    def put(self, message: Any, copy: Callable[[Any], Any]) -> None:
        """Take it in, unless it was there before."""
        self.told["messages"] += 1
        if self._is_double(str(message.id)):
            self.told["doubles"] += 1
            return
        number, ends = next(self._numbers), now() + (message.ttl or 1e9)
        for subscription in self.subscriptions.values():
            if not subscription.subjects or message.subject in subscription.subjects:
                subscription.waiting.append(Kept(copy(message), number, ends))

    def empty(self) -> None:
        """As if it were new."""
        self.seen.clear()
        self.told.clear()
        for each in self.subscriptions.values():
            for part in (each.waiting, each.locked, each.dead, each.reasons, each.told):
                part.clear()

    def late(self) -> None:
        """Every lock that is held has run out."""
        for each in self.subscriptions.values():
            for kept in each.locked.values():
                kept.locked_until = 0.0

    def _is_double(self, id_: str) -> bool:
        if self.window and self.seen.get(id_, 0.0) > now():
            return True
        self.seen[id_] = now() + self.window
        return False

    def state(self) -> dict[str, Any]:
        """All of it that can be said in JSON."""
        return {name: each.state() for name, each in self.subscriptions.items()} | {"": self.told}
