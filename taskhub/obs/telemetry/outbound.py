"""Calls to other hosts, told; the host is named in the log and never in a label."""

from __future__ import annotations

from typing import ClassVar

from taskhub.obs.telemetry.event import Level, Telemetry


class RequestSent(Telemetry, frozen=True, kw_only=True):
    """A task has called another host, or was not let: for metrics alone.

    `outcome` is the class of the answer's status (`2xx`), `unreachable`, `refused` by the guard, or
    `put_off` by a breaker. Counter `taskhub_outbound_requests_total{type,outcome}`.
    """

    type: str
    outcome: str


class EventsForwarded(Telemetry, frozen=True, kw_only=True):
    """So many deliveries to a webhook are on disk: for metrics alone.

    Counter `taskhub_webhook_deliveries_created_total{webhook}`.
    """

    webhook: str
    count: int


class WebhookSeen(Telemetry, frozen=True, kw_only=True):
    """How old the first event is that a webhook is still to be told of: for metrics alone.

    Gauge `taskhub_webhook_lag_seconds{webhook}`; 0: there is none.
    """

    webhook: str
    lag: float


class WebhookFellBehind(Telemetry, frozen=True, kw_only=True):
    """Events were pruned before they were forwarded: nothing ran that forwards, for days.

    Counter `taskhub_webhook_events_missed_total{webhook}`.
    """

    message: ClassVar[str] = "WebhookFellBehind"
    level: ClassVar[Level] = Level.ERROR
    webhook: str
    events: int


class BreakerOpened(Telemetry, frozen=True, kw_only=True):
    """A host has failed again and again: nobody calls it for `rest` seconds.

    `open` is how many breakers are open now. Gauge `taskhub_outbound_breakers_open`.
    """

    message: ClassVar[str] = "BreakerOpened"
    level: ClassVar[Level] = Level.WARNING
    host: str
    failures: int
    rest: float
    open: int


class BreakerClosed(Telemetry, frozen=True, kw_only=True):
    """A host answers again, so many seconds after its breaker opened."""

    message: ClassVar[str] = "BreakerClosed"
    host: str
    seconds: float
    open: int
