"""No more new work than workers keep up with: what waits for them, and what is too much of it."""

from __future__ import annotations

from taskhub.config.sections import LimitsSection
from taskhub.http.problems import Backlogged


class Backlog:
    """What waits for workers, as far as that is known here; where it is not, nothing does."""

    def __init__(self) -> None:
        self._waiting, self._age = 0, 0.0

    def learn(self, waiting: int, age: float) -> None:
        """So many tasks wait to be noticed by a worker, the first of them for `age` seconds."""
        self._waiting, self._age = waiting, age

    def ratio(self, limits: LimitsSection) -> float:
        """How much of the limits is used: at 1 nothing is let in; 0 where there is none."""
        pairs = ((self._waiting, limits.backlog), (self._age, limits.backlog_age))
        return max((used / limit for used, limit in pairs if limit), default=0.0)

    def check(self, limits: LimitsSection) -> None:
        """Let new tasks in, or raise Backlogged."""
        if limits.backlog and self._waiting >= limits.backlog:
            raise Backlogged
        if limits.backlog_age and self._age >= limits.backlog_age:
            raise Backlogged
