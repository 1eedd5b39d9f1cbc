"""The listener that counts telemetry, and the registry that a scrape reads; it serves nothing."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from taskhub.build import commit, version
from taskhub.obs import telemetry as t
from taskhub.obs.counted import Actors, Tasks, World
from taskhub.obs.counted_others import Others, Schedules
from taskhub.obs.counted_stream import Stream
from taskhub.obs.meters import Family
from taskhub.obs.process import process_metrics
from taskhub.obs.telemetry import Telemetry

if TYPE_CHECKING:
    from taskhub.kernel.child import ActorState

_ACTOR_METRICS: tuple[tuple[str, str, str, Callable[[ActorState], float]], ...] = (
    ("taskhub_actor_up", "1 when the actor can serve.", "gauge", lambda a: a.state == "ready"),
    ("taskhub_actor_uptime_seconds", "Age of the present run.", "gauge", lambda a: a.uptime),
    (
        "taskhub_actor_mailbox_depth",
        "Messages that wait.",
        "gauge",
        lambda a: a.mailbox_depth,
    ),
    (
        "taskhub_actor_mailbox_limit",
        "Messages that may wait.",
        "gauge",
        lambda a: a.mailbox_limit,
    ),
    ("taskhub_actor_messages", "Messages taken in.", "counter", lambda a: a.mailbox_posted),
    (
        "taskhub_actor_messages_refused",
        "Messages refused: the mailbox was full or closed.",
        "counter",
        lambda a: a.mailbox_refused,
    ),
)


class MetricsListener(Collector):
    """Called with an event it counts it; one for each process, with its own registry.

    Every series carries `unit` (`worker-1`). Count in the loop's thread, render in any other.
    """

    def __init__(self, unit: str) -> None:
        """Count for the process called `unit`."""
        self.unit = unit
        self.tasks, self.actors, self.world = Tasks(), Actors(unit), World()
        self.groups = (
            *(self.tasks, self.actors, self.world),
            *(Schedules(), Stream(), Others()),
        )
        self._hears = {kind: hear for group in self.groups for kind, hear in group.hears.items()}
        self._hears[t.LoopLag] = self._lagged
        self._more: dict[str, Family[Any]] = {}
        self._tree: Callable[[], Iterable[ActorState]] = tuple
        self._dropped_lines: Callable[[], int] = int
        self._states: tuple[ActorState, ...] = ()
        python = platform.python_version()
        self._built = {"version": version(), "revision": commit(), "python": python}
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def __call__(self, event: Telemetry) -> None:
        """Count the event, if it counts for anything."""
        hear = self._hears.get(type(event))
        if hear is not None:
            hear(event)

    def add(self, family: Family[Any]) -> None:
        """Show one more family, counted by whoever made it; made anew, it takes its own place."""
        self._more[family.name] = family

    def watch_actors(self, tree: Callable[[], Iterable[ActorState]]) -> None:
        """Show the actors and mailboxes of `tree` (asked by `sample`, in the loop's thread)."""
        self._tree = tree

    def watch_log(self, dropped: Callable[[], int]) -> None:
        """Show how many log lines were dropped so far."""
        self._dropped_lines = dropped

    def sample(self) -> None:
        """Look at what only the loop's thread may look at; call it there before a render.

        Each LoopLag (they come from the loop, twice a second) does it too: so a render in a
        thread of its own is right within half a second, even while the loop stands still.
        """
        self._states = tuple(self._tree())

    def collect(self) -> Iterator[Metric]:
        """Every metric of this process, for the registry."""
        self.world.refresh()
        yield self._build_info()
        yield self._one("taskhub_log_lines_dropped", "Log lines lost.", self._dropped_lines())
        yield from process_metrics(self.unit)
        if self._states:
            yield from self._actor_metrics()
        for group in self.groups:
            for family in group.families():
                yield family.collect(self.unit)
        for family in list(self._more.values()):  # the loop may add one meanwhile
            yield family.collect(self.unit)

    def _lagged(self, event: t.LoopLag) -> None:
        self.actors.lagged(event)
        self.sample()

    def _actor_metrics(self) -> Iterator[Metric]:
        for name, text, kind, read in _ACTOR_METRICS:
            metric = Metric(name, text, kind)
            for state in self._states:
                labels = {"unit": self.unit, "actor": self.actors.short(state.name)}
                suffix = "_total" if kind == "counter" else ""
                metric.add_sample(name + suffix, labels, float(read(state)))
            yield metric

    def _one(self, name: str, text: str, value: float) -> Metric:
        metric = Metric(name, text, "counter")
        metric.add_sample(f"{name}_total", {"unit": self.unit}, value)
        return metric

    def _build_info(self) -> Metric:
        metric = Metric("taskhub_build_info", "What runs here; the value is 1.", "gauge")
        metric.add_sample("taskhub_build_info", {"unit": self.unit, **self._built}, 1)
        return metric


def render(registry: CollectorRegistry) -> bytes:
    """The exposition of one process in OpenMetrics 1.0, exemplars and all. Call it off the loop."""
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text
