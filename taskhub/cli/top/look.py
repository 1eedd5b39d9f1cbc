"""One look at all processes that run here, over their supervision sockets; it computes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from taskhub.cli.supervision import ANSWER_WITHIN, Process, processes, sockets
from taskhub.config.sections import Config
from taskhub.kernel.call import Refused, Unreachable, call_blocking

Labels = tuple[tuple[str, str], ...]
Series = Mapping[str, Mapping[Labels, float]]
"""By the name of the sample, then by its labels."""


@dataclass(frozen=True)
class Look:
    """What they said at one moment: `at` in seconds of a clock that never jumps."""

    at: float
    utc: datetime
    processes: Sequence[Process]
    series: Series

    def values(self, name: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """The samples of this name that have these labels."""
        for key, value in self.series.get(name, {}).items():
            own = dict(key)
            if labels.items() <= own.items():
                yield own, value

    def total(self, name: str, **labels: str) -> float:
        """Their sum."""
        return sum(value for _, value in self.values(name, **labels))

    def one(self, name: str, **labels: str) -> float | None:
        """The value of the first of them; None: there is none."""
        return next((value for _, value in self.values(name, **labels)), None)


def look(config: Config, clock: Callable[[], float] = time.monotonic) -> Look:
    """Ask everybody; who does not answer is shown as frozen, and is missing in the figures."""
    found = processes(config)
    series: dict[str, dict[Labels, float]] = {}
    for path in sockets(config):
        for name, labels, value in _samples(_exposition(path)):
            series.setdefault(name, {})[labels] = value
    return Look(clock(), datetime.now(UTC), found, series)


def _exposition(path: Path) -> str:
    """The metrics of a root and its children; nothing of a child, whose root has told of it."""
    with suppress(Unreachable, Refused):
        body: bytes = call_blocking(path, "exposition", ANSWER_WITHIN)["body"]
        return body.decode(errors="replace")
    return ""


def _samples(text: str) -> Iterator[tuple[str, Labels, float]]:
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, tuple(sorted(sample.labels.items())), sample.value
