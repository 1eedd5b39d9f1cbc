"""How each actor of `[units]` is made: one small function a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.actors.firing import Firing
from taskhub.actors.heartbeat import Heartbeat
from taskhub.actors.pruner import Pruner
from taskhub.actors.publisher import Publisher
from taskhub.actors.scheduler import Scheduler
from taskhub.actors.store import StoreActor
from taskhub.actors.subscriber import Subscriber
from taskhub.actors.webhooks import Webhooks
from taskhub.app.rings import ring
from taskhub.bus import KINDS, SCHEDULES
from taskhub.config.schedules import definitions
from taskhub.kernel.actor import ChildSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.app.process import Process
    from taskhub.config.sections import Config


def spec_of(process: Process, name: str) -> ChildSpec:
    """The child spec of one actor of this process."""
    return SPECS[name](process)


def _store(process: Process) -> ChildSpec:
    boxes = process.boxes
    outbox = boxes.publisher if "publisher" in process.entries else None

    def build() -> StoreActor:
        return StoreActor(boxes.store, process.store, outbox, process.store_health, process.emit)

    return ChildSpec("store", build, boxes.store, ready_timeout=60.0, stop_timeout=20.0)


def _publisher(process: Process) -> ChildSpec:
    box = process.boxes.publisher

    def build() -> Publisher:
        return Publisher(box, process.bus, process.emit, process.publishing)

    return ChildSpec("publisher", build, box, stop_timeout=5.0)


def _subscriber(process: Process) -> ChildSpec:
    def build() -> Subscriber:
        return Subscriber(process.bus, process.rings, process.emit, process.hearing, process.ways)

    return ChildSpec("subscriber", build, stop_timeout=3.0)


def _heartbeat(process: Process) -> ChildSpec:
    def build() -> Heartbeat:
        return Heartbeat(
            process.name,
            process.boxes.store,
            lambda: process.live.config.heartbeat.every,
            process.emit,
            lambda: process.store_health.state != "ok",
        )

    return ChildSpec("heartbeat", build, stop_timeout=3.0)


def _scheduler(process: Process) -> ChildSpec:
    boxes = process.boxes
    heard = ring(boxes.scheduler, "work", "later", "ended", SCHEDULES)
    process.rings.append(heard)
    declared = definitions(process.live.config)

    def follow(config: Config) -> None:
        nonlocal declared
        declared = definitions(config)
        heard(frozenset({SCHEDULES}))

    process.follows.append(follow)

    def build() -> Scheduler:
        firing = Firing(boxes.store, process.store, lambda: declared, process.emit)
        return Scheduler(boxes.scheduler, process.store, boxes.publisher, firing.look, process.emit)

    return ChildSpec("scheduler", build, boxes.scheduler, stop_timeout=3.0)


def _pruner(process: Process) -> ChildSpec:
    def build() -> Pruner:
        return Pruner(process.boxes.store, lambda: process.live.config.retention, process.emit)

    return ChildSpec("pruner", build, stop_timeout=5.0)


def _webhooks(process: Process) -> ChildSpec:
    boxes = process.boxes
    process.rings.append(ring(boxes.webhooks, *KINDS))

    def build() -> Webhooks:
        return Webhooks(boxes.webhooks, boxes.store, process.store, process.live, process.emit)

    return ChildSpec("webhooks", build, boxes.webhooks, stop_timeout=3.0)


def _reaper(process: Process) -> ChildSpec:
    from taskhub.app.working import reaper_spec

    return reaper_spec(process)


def _pool(process: Process) -> ChildSpec:
    from taskhub.app.working import pool_spec

    return pool_spec(process)


def _api(process: Process) -> ChildSpec:
    from taskhub.app.serving import api_spec

    return api_spec(process)


def _metrics(process: Process) -> ChildSpec:
    from taskhub.app.measuring import metrics_spec

    return metrics_spec(process)


def _pusher(process: Process) -> ChildSpec:
    from taskhub.app.measuring import pusher_spec

    return pusher_spec(process)


def _events_server(process: Process) -> ChildSpec:
    from taskhub.app.embedded import server_spec

    return server_spec(process)


SPECS: dict[str, Callable[[Process], ChildSpec]] = {
    "store": _store,
    "events-server": _events_server,
    "publisher": _publisher,
    "subscriber": _subscriber,
    "heartbeat": _heartbeat,
    "metrics": _metrics,
    "pusher": _pusher,
    "scheduler": _scheduler,
    "webhooks": _webhooks,
    "reaper": _reaper,
    "pruner": _pruner,
    "pool": _pool,
    "api": _api,
}
