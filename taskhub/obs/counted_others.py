"""What telemetry of schedules and of calls to other hosts counts."""

from __future__ import annotations

from taskhub.obs import telemetry as t
from taskhub.obs.counting import Counted, counts
from taskhub.obs.meters import TASK_SECONDS, counter, gauge, histogram, only
from taskhub.telling import DELIVERY


class Schedules(Counted):
    """Due times and what became of them."""

    def __init__(self) -> None:
        self.runs = counter("taskhub_schedule_runs", "Due times handled, by what became of them.")
        self.runs.by("outcome", "reason")
        self.lateness = histogram(
            "taskhub_schedule_lateness_seconds", "From due to the task on disk.", TASK_SECONDS
        )
        self.broken = counter("taskhub_schedules_broken", "Schedules that cannot be handled here.")
        self.overdue = gauge(
            "taskhub_schedule_overdue_seconds", "Age of the first due time that was not handled."
        )
        for outcome, reason in STARTS:
            self.runs[outcome, reason].inc(0)
        only(self.lateness)
        self.hears = {
            t.ScheduleFired: self._fired,
            t.ScheduleBroken: counts(self.broken),
            t.SchedulesSeen: self._seen,
        }

    def _fired(self, event: t.ScheduleFired) -> None:
        self.runs[event.outcome, event.reason or "none"].inc()
        if event.outcome == "fired" and not event.reason:
            only(self.lateness).observe(max(0.0, event.late))

    def _seen(self, event: t.SchedulesSeen) -> None:
        only(self.overdue).value = event.overdue


STARTS = (
    *(("fired", "none"), ("fired", "missed"), ("waiting", "none")),
    *(("skipped", "missed"), ("skipped", "overlap")),
)
"""Series that begin at zero: one that is born at 1 hides its first event from rate()."""


class Others(Counted):
    """What is asked of other hosts: calls of tasks, webhooks, the keys of issuers."""

    def __init__(self) -> None:
        self.calls = counter("taskhub_outbound_requests", "Calls of tasks to other hosts.")
        self.calls.by("type", "outcome")
        self.breakers = gauge("taskhub_outbound_breakers_open", "Hosts that are left alone.")
        self.deliveries = counter("taskhub_webhook_deliveries_created", "Deliveries on disk.")
        self.deliveries.by("webhook")
        self.missed = counter("taskhub_webhook_events_missed", "Events deleted unforwarded.")
        self.missed.by("webhook")
        self.behind = gauge(
            "taskhub_webhook_lag_seconds", "Age of the first event that was not forwarded."
        ).by("webhook")
        self.key_fetches = counter("taskhub_key_fetches", "Times issuers were asked for keys.")
        self.key_fetches.by("part", "result")
        only(self.breakers)
        for outcome in ("2xx", "3xx", "4xx", "5xx", "unreachable", "refused", "put_off"):
            self.calls[DELIVERY, outcome].inc(0)
        self.hears = {
            t.RequestSent: lambda event: self.calls[event.type, event.outcome].inc(),
            t.EventsForwarded: lambda event: self.deliveries[event.webhook].inc(event.count),
            t.WebhookSeen: self._webhook_seen,
            t.WebhookFellBehind: lambda event: self.missed[event.webhook].inc(event.events),
            t.BreakerOpened: self._breaker_changed,
            t.BreakerClosed: self._breaker_changed,
            t.KeysAsked: lambda event: self.key_fetches[event.part, event.result].inc(),
        }

    def _webhook_seen(self, event: t.WebhookSeen) -> None:
        self.missed[event.webhook].inc(0)
        self.behind[event.webhook].value = event.lag

    def _breaker_changed(self, event: t.BreakerOpened | t.BreakerClosed) -> None:
        only(self.breakers).value = event.open
