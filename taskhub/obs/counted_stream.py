"""What the stream of new work shows, where there is one; without it nothing is shown."""

from __future__ import annotations

from taskhub.obs import telemetry as t
from taskhub.obs.counting import Counted
from taskhub.obs.meters import gauge, only


class Stream(Counted):
    """Hints of new work: waiting for a worker, or taken by one."""

    def __init__(self) -> None:
        self.hints = gauge("taskhub_work_hints", "Hints in the stream of new work.").by("state")
        self.age = gauge("taskhub_work_hints_oldest_age_seconds", "Age of the first of them.")
        self.used = gauge(
            "taskhub_backlog_ratio",
            "How much of [limits] backlog is used; at 1 no task is taken in.",
        )
        self.hears = {t.WorkWaits: self._seen, t.BacklogSeen: self._backlog_seen}

    def _seen(self, event: t.WorkWaits) -> None:
        self.hints["waiting"].value, self.hints["taken"].value = event.waiting, event.taken
        only(self.age).value = event.age

    def _backlog_seen(self, event: t.BacklogSeen) -> None:
        only(self.used).value = event.ratio
