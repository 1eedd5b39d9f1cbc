"""Puts the metrics server of a process together; apart from the API, which the root never loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.actors.metrics import Metrics, from_sockets
from taskhub.config.units import UnitEntry
from taskhub.kernel.actor import ChildSpec

if TYPE_CHECKING:
    from taskhub.app.process import Process


def metrics_spec(process: Process) -> ChildSpec:
    """The child spec of the server of `[metrics]`."""
    section, forest = process.live.config.metrics, process.forest
    has_kin = any(isinstance(entry, UnitEntry) for entry in process.entries)
    gather = from_sockets(process.runtime, process.name)
    if forest is not None and has_kin:
        gather = forest.gather

    def build() -> Metrics:
        return Metrics(section.host, section.port, process.metrics, gather, process.emit)

    return ChildSpec("metrics", build, stop_timeout=5.0)
