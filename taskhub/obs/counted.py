"""What each telemetry event counts, in three groups: tasks, actors, the world around."""

from __future__ import annotations

import time
from collections import deque

from taskhub.model import Status
from taskhub.obs import telemetry as t
from taskhub.obs.counting import Cells, Counted, Hears, counts, example, replace
from taskhub.obs.meters import (
    COMMIT_SECONDS,
    COMMIT_WRITES,
    LIMIT,
    OTHER,
    REQUEST_SECONDS,
    TASK_SECONDS,
    Number,
    counter,
    gauge,
    histogram,
    only,
)
from taskhub.telling import DELIVERY

ROUTE_LIMIT = 400
"""Combinations of method, route template and status."""
LAG_SAMPLES = 20
"""The lag gauge is the worst of so many last measurements, or a scrape would miss most peaks."""
SERVER_ERROR = 500
STATES = ("ok", "degraded", "failed")
PROCESSOR, ENDED = "processor", "exit code 0"
"""What a process of handlers that compute is called, and how one that is idle ends."""


class Tasks(Counted):
    """The life of tasks, from the API to their end, and the leases on the way."""

    def __init__(self) -> None:
        self.created = counter("taskhub_api_tasks_created", "Tasks accepted and on disk.")
        self.existing = counter(
            "taskhub_api_tasks_existing", "New tasks whose unique key another one holds."
        )
        self.processed = counter(
            "taskhub_worker_tasks_processed", "Attempts that have ended, by result."
        ).by("result")
        self.duration = histogram(
            "taskhub_worker_task_duration_seconds", "Run time of an attempt.", TASK_SECONDS
        ).by("type")
        self.waited = histogram(
            "taskhub_queue_wait_seconds", "From due to the start of the handler.", TASK_SECONDS
        ).by("queue")
        self.retried = counter("taskhub_worker_task_retries", "Failed attempts to be repeated.")
        self.failed = counter("taskhub_worker_tasks_failed", "Tasks that have ended as Failed.")
        self.undelivered = counter(
            "taskhub_webhook_deliveries_failed", "Deliveries that were given up."
        )
        self.cancelled = counter("taskhub_tasks_cancelled", "Tasks that have ended as Cancelled.")
        self.released = counter("taskhub_worker_tasks_released", "Claimed tasks given back.")
        self.stale = counter("taskhub_stale_finishes", "Outcomes under an old fence, dropped.")
        self.lost = counter("taskhub_leases_lost", "Leases that could not be renewed.")
        self.taken = counter(
            "taskhub_lease_expiries", "Leases of dead owners and expired ones that were freed."
        ).by("outcome")
        self.stubborn = counter("taskhub_handlers_stubborn", "Handlers that would not stop.")
        self._start_at_zero()
        self.hears = self._hears()

    def _start_at_zero(self) -> None:
        """A series that is born at 1 hides its first event from rate()."""
        for family in self.families():
            if family.kind == "counter" and not family.labels:
                only(family)
        for result in ("success", "failed"):
            self.processed[result].inc(0)
        for outcome in ("requeued", "failed", "cancelled"):
            self.taken[outcome].inc(0)

    def _hears(self) -> Hears:
        return {
            t.TaskCreated: counts(self.created),
            t.TaskExisting: counts(self.existing),
            t.TaskStarted: self._started,
            t.TaskProcessed: self._processed,
            t.TaskRetrying: counts(self.retried),
            t.TaskFailed: self._failed,
            t.TaskCancelled: counts(self.cancelled),
            t.TaskReleased: counts(self.released),
            t.StaleFinish: counts(self.stale),
            t.LeaseLost: counts(self.lost),
            t.LeasesTaken: self._leases_taken,
            t.TaskTaken: self._task_taken,
            t.TasksFollowed: self._followed,
            t.HandlerStubborn: counts(self.stubborn),
        }

    def _started(self, event: t.TaskStarted) -> None:
        self.waited[event.queue].observe(event.waited, example(event, "task_id"))

    def _processed(self, event: t.TaskProcessed) -> None:
        self.processed[event.result].value += 1
        self.duration[event.type].observe(event.duration, example(event, "task_id"))

    def _failed(self, event: t.TaskFailed) -> None:
        only(self.failed).inc()
        if event.type == DELIVERY:
            only(self.undelivered).inc()

    def _leases_taken(self, event: t.LeasesTaken) -> None:
        self.taken["requeued"].inc(event.requeued)
        self.taken["failed"].inc(event.failed)
        self.taken["cancelled"].inc(event.cancelled)

    def _task_taken(self, event: t.TaskTaken) -> None:
        if event.status == Status.FAILED:
            only(self.failed).inc()
        elif event.status == Status.CANCELLED:
            only(self.cancelled).inc()

    def _followed(self, event: t.TasksFollowed) -> None:
        only(self.failed).inc(event.failed)
        only(self.cancelled).inc(event.cancelled)


class Actors(Counted):
    """Actors, child processes and the event loop."""

    def __init__(self, unit: str) -> None:
        self._prefix = f"{unit}/"
        self.restarts = counter("taskhub_actor_restarts", "Times an actor died and came back.")
        self.restarts.by("actor")
        self.gave_up = counter("taskhub_actor_give_ups", "Actors that died too often.")
        self.unstopped = counter("taskhub_actor_unstopped", "Actors that did not stop in time.")
        self.exits = counter("taskhub_process_exits", "Child processes that were reaped.")
        self.exits.by("actor")
        self.deaths = counter(
            "taskhub_processor_deaths", "Processes of handlers that were killed, or died."
        )
        self.blocks = counter("taskhub_loop_blocks", "Times the event loop stood still.")
        self.blockers = counter("taskhub_worker_handler_blocks", "Handlers that stopped the loop.")
        self.blockers.by("type")
        self.lag = gauge("taskhub_loop_lag_seconds", "The worst recent lateness of a timer.")
        self.hooks = counter("taskhub_hook_failures", "Hooks of child processes that failed.")
        self._lags: deque[float] = deque(maxlen=LAG_SAMPLES)
        for family in (self.gave_up, self.unstopped, self.deaths, self.blocks, self.hooks):
            only(family)
        self.hears = {
            t.ActorChanged: self._changed,
            t.ActorRestarting: self._restarting,
            t.ActorGaveUp: counts(self.gave_up),
            t.ActorUnstopped: counts(self.unstopped),
            t.ProcessChanged: self._process_changed,
            t.HookFailed: counts(self.hooks),
            t.LoopBlocked: self._blocked,
        }

    def _blocked(self, event: t.LoopBlocked) -> None:
        only(self.blocks).value += 1
        if event.type:
            self.blockers[event.type].inc()

    def short(self, actor: str) -> str:
        """An actor's name beside the `unit` label: `worker-1/pool` is `pool`."""
        return actor.removeprefix(self._prefix)

    def _changed(self, event: t.ActorChanged) -> None:
        self.restarts[self.short(event.actor)].inc(0)

    def _restarting(self, event: t.ActorRestarting) -> None:
        self.restarts[self.short(event.actor)].inc()

    def _process_changed(self, event: t.ProcessChanged) -> None:
        self.exits[self.short(event.actor)].inc(event.what == "exited")
        if event.actor == PROCESSOR and event.what == "exited" and event.detail != ENDED:
            only(self.deaths).inc()

    def lagged(self, event: t.LoopLag) -> None:
        """Keep one measurement."""
        self._lags.append(event.seconds)
        only(self.lag).value = max(self._lags)


class World(Counted):
    """The store, the event bus, HTTP, the configuration, and the heartbeat."""

    _beat: float | None = None

    def __init__(self) -> None:
        self.requests = histogram(
            "taskhub_http_request_duration_seconds", "Time to answer.", REQUEST_SECONDS
        ).by("method", "route", "status", limit=ROUTE_LIMIT)
        self.failures = counter("taskhub_http_request_failures", "Requests answered with a 5xx.")
        self.crashes = counter("taskhub_http_request_crashes", "Requests that ended in a bug.")
        self.commits = histogram(
            "taskhub_store_commit_duration_seconds", "Time of a durable commit.", COMMIT_SECONDS
        )
        self.writes = histogram(
            "taskhub_store_commit_writes", "Writes that share a commit.", COMMIT_WRITES
        )
        self.again = counter("taskhub_store_retries", "Transactions begun anew: others had won.")
        self.published = counter("taskhub_events_published", "Events that went out.")
        self.dropped = counter("taskhub_events_dropped", "Events that were not published.")
        self.dropped.by("reason")
        self.listeners = gauge("taskhub_event_listeners", "Who follows events over HTTP.")
        self.delivered = counter("taskhub_events_delivered", "Events told to listeners over HTTP.")
        self.slow = counter("taskhub_event_listeners_dropped", "Listeners that did not read.")
        self.parts = gauge("taskhub_part_state", "1 for the state that a part is in.")
        self.parts.by("part", "state")
        self.depth = gauge("taskhub_queue_depth", "Tasks by queue and status (to 100,000).")
        self.oldest = gauge("taskhub_queue_oldest_age_seconds", "Age of the task due longest.")
        self.pruned = counter("taskhub_rows_pruned", "Rows deleted, past their retention.")
        self.pruned.by("kind")
        self.heartbeats = counter("taskhub_heartbeats", "Heartbeat rows on disk.")
        self.beat_age = gauge("taskhub_heartbeat_age_seconds", "Time since the last heartbeat.")
        self.reloads = counter("taskhub_config_reloads", "Reloads of the configuration.")
        self.reloads.by("result")
        self.certificate = gauge(
            "taskhub_tls_certificate_expiry_seconds", "When the certificate ends, since 1970."
        )
        self.acts = counter("taskhub_audited_acts", "Acts of operators.")
        self.limited = counter("taskhub_http_rate_limited", "Requests refused: asked too often.")
        self.limited.by("limit")
        self.alone = counter(
            "taskhub_http_rate_counted_alone",
            "Requests whose limit this process counted alone, the event server being away or late.",
        ).by("limit")
        self._start_at_zero()
        self.hears = self._hears()

    def _start_at_zero(self) -> None:
        self.depth.by("queue", "status")
        self.oldest.by("queue", "status")
        for family in (
            *(self.failures, self.crashes, self.published, self.delivered, self.slow),
            *(self.heartbeats, self.acts, self.again),
        ):
            only(family)
        for reason in ("full", "away"):
            self.dropped[reason].inc(0)
        for limit in ("create", "acts", "work", "bad_tokens"):
            self.limited[limit].inc(0)
        for limit in ("create", "acts", "work"):  # bad tokens are never counted together
            self.alone[limit].inc(0)
        for result in ("applied", "refused"):
            self.reloads[result].inc(0)
        for kind in t.RowsPruned.__struct_fields__:
            self.pruned[kind].inc(0)

    def _hears(self) -> Hears:
        return {
            t.RequestServed: self._served,
            t.RequestCrashed: counts(self.crashes),
            t.CertificateLoaded: self._certificate,
            t.RateLimited: lambda event: self.limited[event.limit].inc(),
            t.RowsPruned: self._pruned,
            t.CountedAlone: lambda event: self.alone[event.limit].inc(),
            t.Committed: self._committed,
            t.EventsPublished: self._published,
            t.EventsDropped: self._dropped,
            t.EventsDelivered: self._delivered,
            t.ListenersChanged: self._listeners_changed,
            t.ListenerDropped: counts(self.slow),
            t.StateChanged: self._state_changed,
            t.Depths: self._depths,
            t.Heartbeat: self._heartbeat,
            t.Reloaded: lambda _: self.reloads["applied"].inc(),
            t.ReloadRefused: lambda _: self.reloads["refused"].inc(),
            t.ActAudited: counts(self.acts),
        }

    def _served(self, event: t.RequestServed) -> None:
        cell = self.requests[event.method, event.route, str(event.status)]
        cell.observe(event.seconds, example(event, "request_id"))
        if event.status >= SERVER_ERROR:
            only(self.failures).inc()

    def _certificate(self, event: t.CertificateLoaded) -> None:
        only(self.certificate).value = event.until

    def _committed(self, event: t.Committed) -> None:
        only(self.commits).observe(event.seconds)
        only(self.writes).observe(event.writes)
        if event.retries:
            only(self.again).inc(event.retries)
        if ("store", "ok") not in self.parts:  # a change is told, and that it is well is none
            self._show("store", "ok")

    def _published(self, event: t.EventsPublished) -> None:
        only(self.published).inc(event.count)

    def _dropped(self, event: t.EventsDropped) -> None:
        self.dropped[event.reason].inc(event.count)

    def _delivered(self, event: t.EventsDelivered) -> None:
        only(self.delivered).inc(event.count)

    def _listeners_changed(self, event: t.ListenersChanged) -> None:
        only(self.listeners).value = event.count

    def _state_changed(self, event: t.StateChanged) -> None:
        self._show(event.part, event.state)

    def _show(self, part: str, now: str) -> None:
        for state in STATES:
            self.parts[part, state].value = state == now

    def _depths(self, event: t.Depths) -> None:
        """Replace all: a queue that has become empty is not told any more."""
        depth: Cells = {}
        oldest: Cells = {}
        for queue, status, count, age in event.queues:
            known = len(depth) < LIMIT or (queue, status) in depth
            key = (queue if known else OTHER, status)
            depth.setdefault(key, Number()).inc(count)
            cell = oldest.setdefault(key, Number())
            cell.value = max(cell.value, age)
        replace(self.depth, depth)
        replace(self.oldest, oldest)

    def _pruned(self, event: t.RowsPruned) -> None:
        for kind in event.__struct_fields__:
            self.pruned[kind].inc(getattr(event, kind))

    def _heartbeat(self, _event: t.Heartbeat) -> None:
        only(self.heartbeats).inc()
        self._beat = time.monotonic()

    def refresh(self) -> None:
        """Bring what depends on the time up to date."""
        if self._beat is not None:
            only(self.beat_age).value = time.monotonic() - self._beat
