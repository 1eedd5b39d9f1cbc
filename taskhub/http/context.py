"""What the API is given by the composition root: ports, clocks, listeners; no HTTP in here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from taskhub.config.sections import Config
from taskhub.http.backlog import Backlog
from taskhub.http.batches import Batches
from taskhub.http.external.sightings import Sightings
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Put
from taskhub.model import TaskItem
from taskhub.obs.telemetry import Emit
from taskhub.ports import Store

if TYPE_CHECKING:
    from taskhub.http.auth import Verifier
    from taskhub.http.catalog import Catalog
    from taskhub.http.external.bench import Bench
    from taskhub.http.limits import Limits
    from taskhub.http.live.tail import Tail
    from taskhub.http.patience import Patience
    from taskhub.http.waiting import Waiters
    from taskhub.obs.tracing import Tracing


class Metrics(Protocol):
    """Renders the metrics of the whole tree, off the loop."""

    def __call__(self, *, as_openmetrics: bool = False, zipped: bool = False) -> Awaitable[bytes]:
        """The exposition in the form that was asked for."""


class PartHealth(msgspec.Struct, frozen=True):
    """How one part (`store`, `events`) is; `detail` is one sentence without secrets."""

    name: str
    state: Literal["ok", "degraded", "failed"]
    detail: str = ""


class ActorRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One row of the actor tree as `GET /actors` shows it; `uptime` in seconds."""

    name: str
    state: str
    uptime: float
    restarts: int
    mailbox_depth: int = 0
    mailbox_limit: int = 0
    pid: int | None = None
    last_error: str | None = None


Verdict = Literal["good", "unknown", "leaving", "away"]
"""Whether an actor can be restarted: there is none, it has ended, its process does not answer."""


class Restarts(Protocol):
    """Restarts actors by their full names, whatever process of the tree they are in."""

    async def look(self, name: str) -> Verdict:
        """What `ask` would answer; nothing is done."""

    async def ask(self, name: str) -> Verdict:
        """Have it stopped and started; does not wait for either."""


@dataclass(slots=True)
class ApiContext:
    """Everything that handlers use. Fields may be replaced while the API runs (a reload does)."""

    store_box: Mailbox[Put]
    store: Store
    verifier: Verifier
    emit: Emit
    settings: Callable[[], Config]
    types: Catalog
    health: Callable[[], Sequence[PartHealth]]
    metrics: Metrics
    actors: Callable[[], Awaitable[Sequence[ActorRow]]]
    restarts: Restarts
    waiters: Waiters[TaskItem]
    cancels: Waiters[bool]
    bench: Bench
    live: Tail
    patience: Patience
    limits: Limits
    tracing: Tracing | None = None
    backlog: Backlog = field(default_factory=Backlog)
    batches: Batches = field(default_factory=Batches)
    sightings: Sightings = field(default_factory=Sightings)
