"""Counters, gauges and histograms whose cells are plain numbers: cheap to count, read by a scrape.

prometheus_client's own take a lock at each step; here one thread counts and another reads, which
needs none. What they share with them is the form in which a registry collects.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from prometheus_client import Metric
from prometheus_client.samples import Exemplar

C = TypeVar("C")
Example = tuple[str, str]
"""What an observation was: the kind of an id (`trace_id`), and the id."""

OTHER = "other"
"""The label value of everything past a family's limit."""
LIMIT = 100
"""Label values (or combinations) of one family; types, queues and routes come from outside."""

TASK_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
COMMIT_WRITES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Number:
    """One value: of a counter or of a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        self.value += amount


class Spread:
    """How values are spread over buckets with upper `bounds`, and the last example of each."""

    __slots__ = ("bounds", "counts", "examples", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.total = bounds, 0.0
        self.counts = [0] * (len(bounds) + 1)
        self.examples: dict[int, tuple[Example, float, float]] = {}

    def observe(self, value: float, example: Example | None = None) -> None:
        """Count one value; `example` says which it was."""
        place = bisect_left(self.bounds, value)
        self.counts[place] += 1
        self.total += value
        if example is not None:
            self.examples[place] = (example, value, time.time())

    def exemplar(self, place: int) -> Exemplar | None:
        """The last example of a bucket, with the time at which it was seen."""
        if (found := self.examples.get(place)) is None:
            return None
        (kind, known_as), value, seen = found
        return Exemplar({kind: known_as}, value, round(seen, 3))


class Family(dict[tuple[str, ...] | str, C], Generic[C]):
    """The cells of one metric by their label values: a string where there is one label.

    `family[key]` makes the cell when it is new. Past `limit` cells everything goes to one whose
    labels say `other`.
    """

    def __init__(self, name: str, text: str, kind: str, make: Callable[[], C]) -> None:
        """`name` without the `_total` of counters; `kind` counter | gauge | histogram."""
        super().__init__()
        self.name, self.text, self.kind, self.make = name, text, kind, make
        self.labels: tuple[str, ...] = ()
        self.limit = LIMIT

    def by(self, *labels: str, limit: int = LIMIT) -> Family[C]:
        """The same with labels beside `unit`."""
        self.labels, self.limit = labels, limit
        return self

    def __missing__(self, key: tuple[str, ...] | str) -> C:
        spill = OTHER if len(self.labels) == 1 else (OTHER,) * len(self.labels)
        if len(self) >= self.limit and key != spill:
            return self[spill]
        cell = self[key] = self.make()
        return cell

    def collect(self, unit: str) -> Metric:
        """All series of this family."""
        metric = Metric(self.name, self.text, self.kind)
        for key, cell in list(self.items()):  # the loop may add cells meanwhile
            values = (key,) if isinstance(key, str) else key
            labels = {"unit": unit, **dict(zip(self.labels, values, strict=True))}
            add_samples(metric, labels, cell)
        return metric


def add_samples(metric: Metric, labels: dict[str, str], cell: object) -> None:
    """Add the series of one cell."""
    if isinstance(cell, Spread):
        _add_spread(metric, labels, cell)
    elif isinstance(cell, Number):
        suffix = "_total" if metric.type == "counter" else ""
        metric.add_sample(metric.name + suffix, labels, cell.value)


def _add_spread(metric: Metric, labels: dict[str, str], cell: Spread) -> None:
    counts, below = list(cell.counts), 0
    for place, (bound, count) in enumerate(zip((*cell.bounds, float("inf")), counts, strict=True)):
        below += count
        le = "+Inf" if bound == float("inf") else str(float(bound))
        within = {**labels, "le": le}
        metric.add_sample(f"{metric.name}_bucket", within, below, exemplar=cell.exemplar(place))
    metric.add_sample(f"{metric.name}_sum", labels, cell.total)
    metric.add_sample(f"{metric.name}_count", labels, below)


def counter(name: str, text: str) -> Family[Number]:
    """A counter; `name` without `_total`."""
    return Family(name, text, "counter", Number)


def gauge(name: str, text: str) -> Family[Number]:
    """A gauge."""
    return Family(name, text, "gauge", Number)


def histogram(name: str, text: str, bounds: Sequence[float]) -> Family[Spread]:
    """A histogram with buckets up to each of `bounds`."""
    return Family(name, text, "histogram", lambda: Spread(bounds))


def only(family: Family[C]) -> C:
    """The one cell of a family that has no label but `unit`; made at zero when it is new."""
    return family[()]
