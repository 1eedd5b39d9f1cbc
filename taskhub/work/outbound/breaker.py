"""Leaves hosts alone that fail again and again: one small state each, in this process alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taskhub.obs.telemetry import BreakerClosed, BreakerOpened, Emit

FAILURES = 5
"""In a row, then the breaker opens."""
REST_FIRST, REST_LAST = 5.0, 300.0
"""Seconds of the first rest; each time that the host still fails it doubles, up to the last."""
HOSTS = 1_024
"""Hosts that are watched; of more, the one longest known is forgotten."""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    rest: float = 0.0
    """Seconds of the present rest; 0: the breaker is closed."""
    until: float = 0.0
    opened: float = 0.0
    is_probed: bool = False


class Breakers:
    """What is known of hosts that have failed; of those that have not, nothing is kept.

    Whoever `may_call` returned 0 to must tell the end by one of `succeeded`, `failed`, `unknown`.
    """

    def __init__(self, emit: Emit, clock: Callable[[], float]) -> None:
        self._emit, self._clock = emit, clock
        self._hosts: dict[str, _Breaker] = {}

    def may_call(self, host: str) -> float:
        """0: go on; else the seconds that the host is to be left alone."""
        breaker = self._hosts.get(host)
        if breaker is None or not breaker.rest:
            return 0.0
        left = breaker.until - self._clock()
        if left > 0:
            return left
        if breaker.is_probed:
            return REST_FIRST
        breaker.is_probed = True
        return 0.0

    def succeeded(self, host: str) -> None:
        """It has answered, whatever: all is forgotten."""
        breaker = self._hosts.pop(host, None)
        if breaker is not None and breaker.rest:
            down = self._clock() - breaker.opened
            self._emit(BreakerClosed(host=host, seconds=down, open=self._count()))

    def failed(self, host: str) -> None:
        """It could not be reached, or was not able to answer."""
        breaker = self._hosts.get(host) or self._watch(host)
        breaker.failures += 1
        is_probe, breaker.is_probed = breaker.is_probed, False
        if breaker.rest:
            if is_probe:  # what was under way when it opened says nothing new
                self._open(host, breaker)
        elif breaker.failures >= FAILURES:
            breaker.opened = self._clock()
            self._open(host, breaker)

    def unknown(self, host: str) -> None:
        """The call was cut short: the next one may try."""
        if (breaker := self._hosts.get(host)) is not None:
            breaker.is_probed = False

    def _open(self, host: str, breaker: _Breaker) -> None:
        breaker.rest = min(REST_LAST, 2 * breaker.rest or REST_FIRST)
        breaker.until = self._clock() + breaker.rest
        self._emit(
            BreakerOpened(
                host=host, failures=breaker.failures, rest=breaker.rest, open=self._count()
            )
        )

    def _watch(self, host: str) -> _Breaker:
        if len(self._hosts) >= HOSTS:
            closed = (name for name, known in self._hosts.items() if not known.rest)
            del self._hosts[next(closed, next(iter(self._hosts)))]
        breaker = self._hosts[host] = _Breaker()
        return breaker

    def _count(self) -> int:
        return sum(1 for breaker in self._hosts.values() if breaker.rest)
