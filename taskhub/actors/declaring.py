"""What code and the configuration declare of schedules, on its way to the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from taskhub.obs.telemetry import Emit, ScheduleBroken, SchedulesDeclared
from taskhub.ports import Refused
from taskhub.schedules.cron import next_after, read
from taskhub.schedules.schedule import Source
from taskhub.schedules.writes import DeclareSchedules, Synced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.ports import Result
    from taskhub.schedules.schedule import Definition


def declaration(source: Source, place: str, declared: Sequence[Definition]) -> DeclareSchedules:
    """What to write of the schedules of one place; each was read before, so its cron is good."""
    now, found = datetime.now(UTC), []
    for each in declared:
        next_at = next_after(read(each.cron, each.time_zone), now)
        assert next_at is not None, "an expression that is never due is refused"
        found.append((each, next_at))
    return DeclareSchedules(source=source, place=place, schedules=found, by=place or source)


def tell_declared(emit: Emit, write: DeclareSchedules, result: Result) -> None:
    """Tell what is new, if anything is, and what the store would not take."""
    if isinstance(result, Refused):
        emit(ScheduleBroken(schedule=write.place or write.source, reason=result.reason))
    if isinstance(result, Synced) and any(msgspec.structs.astuple(result)):
        emit(
            SchedulesDeclared(
                source=write.source,
                place=write.place,
                added=tuple(result.added),
                changed=tuple(result.changed),
                removed=tuple(result.removed),
                refused=tuple(result.refused),
            )
        )
