"""Puts together what shows metrics; apart from the API, which the root never loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.actors.metrics import Metrics, from_sockets
from taskhub.actors.pusher import Pusher
from taskhub.config.units import UnitEntry
from taskhub.http.clients import client_of, is_inside
from taskhub.kernel.actor import ChildSpec
from taskhub.obs.exposition import Exposition

if TYPE_CHECKING:
    from aiohttp import web

    from taskhub.app.process import Process
    from taskhub.config.sections import HttpSection
    from taskhub.obs.exposition import Gather


def metrics_spec(process: Process) -> ChildSpec:
    """The child spec of the server of `[metrics]`."""
    section, gather = process.live.config.metrics, _gather(process)

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


def pusher_spec(process: Process) -> ChildSpec:
    """The child spec of who pushes the same to `[metrics] push_url`."""
    gather = _gather(process)

    def build() -> Pusher:
        exposition = Exposition(process.metrics, gather)
        return Pusher(
            process.metrics, exposition, lambda: process.live.config.metrics, process.emit
        )

    return ChildSpec("pusher", build, stop_timeout=5.0)


def _gather(process: Process) -> Gather:
    """Of the processes below this one, or of those that stand alone beside it."""
    forest = process.forest
    if forest is not None and any(isinstance(entry, UnitEntry) for entry in process.entries):
        return forest.gather
    return from_sockets(process.runtime, process.name)


def _admits(request: web.Request, section: HttpSection) -> bool:
    """As the API does: those networks alone, and no proxy that nobody trusts."""
    client = client_of(request.remote, request.headers, section.trusted_proxies)
    return client.is_sure and is_inside(client.address, section.metrics_allow)
