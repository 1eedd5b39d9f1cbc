"""Puts the metrics server of a process together; apart from the API, which the root never loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.actors.metrics import Metrics, from_sockets
from taskhub.config.units import UnitEntry
from taskhub.http.clients import client_of, is_inside
from taskhub.kernel.actor import ChildSpec

if TYPE_CHECKING:
    from aiohttp import web

    from taskhub.app.process import Process
    from taskhub.config.sections import HttpSection


def metrics_spec(process: Process) -> ChildSpec:
    """The child spec of the server of `[metrics]`."""
    section, forest = process.live.config.metrics, process.forest
    has_kin = any(isinstance(entry, UnitEntry) for entry in process.entries)
    gather = from_sockets(process.runtime, process.name)
    if forest is not None and has_kin:
        gather = forest.gather

    def build() -> Metrics:
        return Metrics(
            section.host,
            section.port,
            process.metrics,
            gather,
            process.emit,
            admits=lambda request: _admits(request, process.live.config.http),
        )

    return ChildSpec("metrics", build, stop_timeout=5.0)


def _admits(request: web.Request, section: HttpSection) -> bool:
    """As the API does: those networks alone, and no proxy that nobody trusts."""
    client = client_of(request.remote, request.headers, section.trusted_proxies)
    return client.is_sure and is_inside(client.address, section.metrics_allow)
