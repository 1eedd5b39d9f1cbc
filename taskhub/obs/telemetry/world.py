"""The world around, told: store, events, configuration, HTTP."""

from __future__ import annotations

from typing import ClassVar

from taskhub.obs.telemetry.event import Level, Telemetry


class Committed(Telemetry, frozen=True, kw_only=True):
    """A batch of writes was committed. Histograms of size and seconds, retries; not logged."""

    writes: int
    seconds: float
    retries: int = 0


class StateChanged(Telemetry, frozen=True, kw_only=True):
    """A part (`store`, `events`) went to `state`: ok | degraded | failed; `detail` says why."""

    message: ClassVar[str] = "StateChanged"
    level: ClassVar[Level] = Level.WARNING
    part: str
    state: str
    detail: str = ""


class EventsDropped(Telemetry, frozen=True, kw_only=True):
    """Events were not published (`reason`: full | away); rows are there. Counter; not logged."""

    count: int
    reason: str


class EventsPublished(Telemetry, frozen=True, kw_only=True):
    """Events went out. Counter; not logged."""

    count: int


class ListenersChanged(Telemetry, frozen=True, kw_only=True):
    """Somebody began or ended to follow events over HTTP. Gauge; not logged."""

    count: int


class ListenerDropped(Telemetry, frozen=True, kw_only=True):
    """A listener did not read what it was sent. Counter; not logged: it comes again and goes on."""


class EventsDelivered(Telemetry, frozen=True, kw_only=True):
    """Events went out to listeners over HTTP, counted for each. Counter; not logged."""

    count: int


class ServerSaid(Telemetry, frozen=True, kw_only=True):
    """A line of the embedded event server's own log."""

    message: ClassVar[str] = "ServerSaid"
    level: ClassVar[Level] = Level.DEBUG
    text: str


class Depths(Telemetry, frozen=True, kw_only=True):
    """Queue depths read from the store: gauges by queue and state; not logged."""

    queues: tuple[tuple[str, str, int, float], ...]
    """(queue, status, count, oldest age in seconds)"""


class WorkWaits(Telemetry, frozen=True, kw_only=True):
    """Hints in the stream of new work: waiting for a worker, taken by one. Gauges; not logged."""

    waiting: int
    taken: int
    age: float
    """Of the first of all, in seconds."""


class BacklogSeen(Telemetry, frozen=True, kw_only=True):
    """How much of `[limits] backlog` or `backlog_age` what waits has used. Gauge; not logged."""

    ratio: float


class Reloaded(Telemetry, frozen=True, kw_only=True):
    """A new configuration was applied; `changes` reads like `work.concurrency: 64 -> 8`."""

    message: ClassVar[str] = "Reloaded"
    changes: tuple[str, ...]
    needs_restart: tuple[str, ...] = ()


class ReloadRefused(Telemetry, frozen=True, kw_only=True):
    """A new configuration is wrong: nothing was changed."""

    message: ClassVar[str] = "ReloadRefused"
    level: ClassVar[Level] = Level.ERROR
    problems: tuple[str, ...]


class LogLevelChanged(Telemetry, frozen=True, kw_only=True):
    """An operator has made an actor louder or quieter; `to` empty: as configured again."""

    message: ClassVar[str] = "LogLevelChanged"
    name: str
    to: str


class LinesDropped(Telemetry, frozen=True, kw_only=True):
    """So many lines of this process's log were lost: its disk was full, slow or away.

    Counter `taskhub_log_lines_dropped_total`, which counts them at once.
    """

    message: ClassVar[str] = "LinesDropped"
    level: ClassVar[Level] = Level.WARNING
    count: int


class CertificateLoaded(Telemetry, frozen=True, kw_only=True):
    """New TLS connections get this certificate; `left` is how long it is good, in seconds."""

    message: ClassVar[str] = "CertificateLoaded"
    until: float
    """In seconds since 1970; gauge `taskhub_tls_certificate_expiry_seconds`."""
    left: float


class RequestServed(Telemetry, frozen=True, kw_only=True):
    """An HTTP answer was sent. Histogram `taskhub_http_request_duration_seconds`.

    The last four are filled when the access log is on; `size` is that of the body in bytes.
    """

    message: ClassVar[str] = "RequestServed"
    level: ClassVar[Level] = Level.DEBUG
    method: str
    route: str
    status: int
    seconds: float
    request_id: str
    trace_id: str = ""
    is_access: bool = False
    size: int = 0
    address: str = ""
    subject: str = ""


class RateLimited(Telemetry, frozen=True, kw_only=True):
    """A client (its principal or address) has asked too often. Counter by limit."""

    message: ClassVar[str] = "RateLimited"
    level: ClassVar[Level] = Level.DEBUG
    limit: str
    who: str
    request_id: str


class CountedAlone(Telemetry, frozen=True, kw_only=True):
    """A limit was counted by this process alone: the event server is away, or late. Not logged."""

    limit: str


class RequestCrashed(Telemetry, frozen=True, kw_only=True):
    """A bug: a request ended in an exception nobody expected."""

    message: ClassVar[str] = "RequestCrashed"
    level: ClassVar[Level] = Level.ERROR
    method: str
    route: str
    request_id: str
    trace: str
    trace_id: str = ""


class ActAudited(Telemetry, frozen=True, kw_only=True):
    """An operator acted: who, what, on which task (empty: on none), from where."""

    message: ClassVar[str] = "ActAudited"
    subject: str
    act: str
    task_id: str
    address: str
    request_id: str


class KeysChanged(Telemetry, frozen=True, kw_only=True):
    """An issuer of tokens publishes other keys than before; `kids` are their ids."""

    message: ClassVar[str] = "KeysChanged"
    part: str
    issuer: str
    kids: tuple[str, ...]


class KeysAsked(Telemetry, frozen=True, kw_only=True):
    """An issuer was asked for its keys (`result`: ok | failed). Counter; not logged."""

    part: str
    result: str


class RowsPruned(Telemetry, frozen=True, kw_only=True):
    """So many rows past their retention are deleted (`results`: emptied): for metrics alone.

    Counter `taskhub_rows_pruned_total{kind}`.
    """

    tasks: int
    events: int
    audit: int
    keys: int
    unique_keys: int
    runs: int
    results: int
