"""What the actors of one process share: configuration, mailboxes, store, bus, log, metrics."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from taskhub.actors.bus_health import BusHealth
from taskhub.actors.store import StoreHealth
from taskhub.app.backends import make_bus, make_store, make_work
from taskhub.config.runtime import make_private
from taskhub.kernel.clock import boot_id
from taskhub.kernel.host import Host
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.mailbox import Mailbox
from taskhub.model import Incarnation, Owner
from taskhub.obs.kernel import kernel_emit
from taskhub.obs.metrics import MetricsListener, render

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from taskhub.actors.holdings import Holdings
    from taskhub.actors.subscriber import Way
    from taskhub.app.forest import Forest
    from taskhub.bus import EventBus, WorkHints
    from taskhub.config.sections import Config
    from taskhub.http.context import PartHealth
    from taskhub.kernel.supervisor import Supervisor
    from taskhub.messages import Publish, Put, Stop, Wake
    from taskhub.obs.start import Log
    from taskhub.obs.telemetry import Emit, Telemetry
    from taskhub.obs.tracing import Tracing
    from taskhub.ports import Store


class Live:
    """The configuration in force in this process; a reload replaces it whole."""

    __slots__ = ("config",)

    def __init__(self, config: Config) -> None:
        self.config = config

    def __call__(self) -> Config:
        """The configuration of this moment."""
        return self.config


@dataclass(slots=True)
class Boxes:
    """The mailboxes of one process; each belongs to the child spec of its reader."""

    store: Mailbox[Put]
    publisher: Mailbox[Publish]
    pool: Mailbox[Wake | Stop]
    reaper: Mailbox[Wake]
    scheduler: Mailbox[Wake]
    webhooks: Mailbox[Wake]

    @classmethod
    def sized(cls, limit: int) -> Boxes:
        """Empty ones that hold at most `limit` messages each."""
        return cls(
            Mailbox("store", limit),
            Mailbox("publisher", limit),
            Mailbox("pool", limit),
            Mailbox("reaper", limit),
            Mailbox("scheduler", limit),
            Mailbox("webhooks", limit),
        )

    def all(self) -> list[Mailbox[Any]]:
        """Every one of them."""
        return [getattr(self, box.name) for box in fields(self)]


@dataclass(slots=True)
class Process:
    """One process of TaskHub, its parts not started yet."""

    name: str
    """The instance: `tree`, `worker-1`, `api-1`."""
    live: Live
    log: Log
    metrics: MetricsListener
    emit: Emit
    runtime: Path
    owner: Owner
    """This life of the process, as leases name it."""
    host: Host
    keeper: Keeper
    store: Store
    bus: EventBus
    boxes: Boxes
    work: WorkHints | None = None
    """Where the pool gets hints of new work; None: from the bell that all hear."""
    entries: Sequence[Any] = ()
    """What runs here: names of actors, and units that run as child processes."""
    listener: socket.socket | None = None
    """The listening socket of the API, bound before anything starts."""
    folder: Path | None = None
    """Where the user's own modules are looked for."""
    forest: Forest | None = None
    """The view of all processes, where this is the root."""
    parent: Path | None = None
    """The supervision socket of the process above."""
    store_health: StoreHealth = field(default_factory=StoreHealth)
    publishing: BusHealth = field(default_factory=BusHealth)
    hearing: BusHealth = field(default_factory=lambda: BusHealth(part="events-in"))
    rings: list[Any] = field(default_factory=list)
    """Who wants to hear the bell: each is called with its kinds."""
    ways: list[Way] = field(default_factory=list)
    """What listens to the event server beside the bell."""
    checks: list[Callable[[Config], object]] = field(default_factory=list)
    """Called with a new configuration before it is applied; they raise when it cannot be."""
    follows: list[Callable[[Config], None]] = field(default_factory=list)
    """Called with the new configuration when it is in force."""
    supervisor: Supervisor | None = None
    tracing: Tracing | None = None
    """What makes spans of what this process does, where that is asked for."""
    issuers: Callable[[], Sequence[PartHealth]] = tuple
    """How the issuers are whose keys tokens are checked with; without an API there are none."""
    holdings: Holdings | None = None
    """What the pool of this process holds, if it has one."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What is given back when the process ends, the last taken first."""


def new_owner(name: str) -> Owner:
    """The owner's name of one life of a process, never to be seen again."""
    return Incarnation(boot_id(), name, secrets.token_hex(8)).owner


def fan_out(log: Log, metrics: MetricsListener) -> Emit:
    """Every event to the log and to the metrics."""
    write, count = log.listener, metrics

    def emit(event: Telemetry) -> None:
        count(event)
        write(event)

    return emit


def assemble(
    name: str,
    live: Live,
    log: Log,
    place: tuple[Path, Path],
    *,
    on_hangup: Callable[[], Awaitable[None]] | None = None,
    on_usr1: Callable[[], None] | None = None,
) -> Process:
    """The parts of a process; `place` is its runtime directory and its supervision socket."""
    metrics = MetricsListener(name)
    metrics.watch_log(lambda: log.sink.dropped)
    emit = fan_out(log, metrics)
    runtime, socket_path = place
    make_private(socket_path.parent)
    owner = new_owner(name)
    host = Host(name, kernel_emit(emit), on_hangup=on_hangup, on_usr1=on_usr1)
    keeper = Keeper(
        socket_path,
        host.pulse,
        name=name,
        quick={"metrics": lambda _: render(metrics.registry)},
        emit=host.emit,
    )
    return Process(
        name=name,
        live=live,
        log=log,
        metrics=metrics,
        emit=emit,
        runtime=runtime,
        owner=owner,
        host=host,
        keeper=keeper,
        store=make_store(live.config),
        bus=make_bus(live.config, name),
        work=make_work(live.config, name, owner),
        boxes=Boxes.sized(live.config.limits.mailbox),
    )
