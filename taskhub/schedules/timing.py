"""Which of the times that are due run, and which were missed; a decision, no clock and no store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest

import msgspec

from taskhub.schedules.cron import Cron, newest_until, next_after, times_between
from taskhub.schedules.schedule import Misfire

REACH = timedelta(days=31)
"""So far back missed times are made up for one by one; older ones are skipped."""

_INSTANT = timedelta(microseconds=1)


class Step(msgspec.Struct, frozen=True):
    """One due time to handle, and the one after it.

    `missed`: it was not handled in time. `since`: nor were the times from then on to before `due`,
    which have no step of their own.
    """

    seen: datetime
    """Where the schedule stood before this step: it happens only from there."""
    due: datetime
    next: datetime | None
    runs: bool = True
    missed: bool = False
    since: datetime | None = None


class Moment(msgspec.Struct, frozen=True):
    """Where a schedule stands at a time: `next_at` is the first due time that was not handled."""

    next_at: datetime
    now: datetime
    grace: float

    @property
    def late(self) -> datetime:
        """What was due before then was missed."""
        return self.now - timedelta(seconds=self.grace)


def plan(cron: Cron, misfire: Misfire, moment: Moment, limit: int) -> list[Step]:
    """What to do about everything due by now, oldest first; at most so many steps at a time.

    `next_at` is due even where the expression says so no longer, the zone having new rules.
    """
    if moment.next_at > moment.now or limit < 1:
        return []
    if moment.next_at >= moment.late or misfire is Misfire.ALL:
        return list(_steps(cron, moment, _each(cron, moment, limit)))
    timely = times_between(cron, moment.late, moment.now, limit)
    if misfire is Misfire.ONCE and timely:
        return list(_steps(cron, moment, timely))
    missed = newest_until(cron, moment.next_at, moment.late - _INSTANT)
    first, *rest = _steps(cron, moment, [missed, *timely])
    return [msgspec.structs.replace(first, runs=misfire is Misfire.ONCE), *rest]


def _each(cron: Cron, moment: Moment, limit: int) -> list[datetime]:
    """All of them, as far back as times are made up for one by one."""
    reach = moment.now - REACH
    if moment.next_at < reach and (found := times_between(cron, reach, moment.now, limit)):
        return found
    rest = times_between(cron, moment.next_at + _INSTANT, moment.now, limit - 1)
    return [moment.next_at, *rest]


def _steps(cron: Cron, moment: Moment, due: Sequence[datetime]) -> Iterator[Step]:
    seen: datetime | None = moment.next_at
    for at, follower in zip_longest(due, due[1:]):
        assert seen is not None, "a follower was next"
        after = follower or next_after(cron, at)
        since = seen if seen < at else None
        missed = since is not None or at < moment.late
        yield Step(seen, at, after, missed=missed, since=since)
        seen = after
