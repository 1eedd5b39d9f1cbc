"""Reads `[[schedules]]`: what is made and when; the store learns it from the scheduler."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from taskhub.config.sections import Config, ScheduleSection
from taskhub.schedules.rules import wrong
from taskhub.schedules.schedule import MOST, Definition, Misfire, Overlap

Wrong = tuple[str, str]
"""The key, and what was expected."""

PLACE = "schedules"
NAMED = "a text of 1 to 100 letters, digits and any of _ . : -"


def table_named(number: int, table: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the schedule that a table describes, or what stands for it, and the rest."""
    rest = dict(table)
    name = rest.pop("name", None)
    return (name if isinstance(name, str) and name else f"#{number}"), rest


def section_of(table: Any, report: Callable[[str], None]) -> ScheduleSection | None:
    """The section that a table makes; None when it does not, and each mistake was reported."""
    if not isinstance(table, dict):
        report("expected a table [[schedules]] in the configuration file")
        return None
    mistakes = [text for key, value in table.items() if (text := _mistake(key, value))]
    mistakes += [] if "cron" in table else ["cron: expected, such as '0 6 * * MON-FRI'"]
    for text in mistakes:
        report(text)
    return None if mistakes else msgspec.convert(table, ScheduleSection)


def _mistake(key: str, value: Any) -> str:
    known = {field.name: field.type for field in msgspec.structs.fields(ScheduleSection)}
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        return f"{key}: unknown key{f'; did you mean {near[0]}?' if near else ''}"
    try:
        msgspec.convert(value, known[key])
    except msgspec.ValidationError:
        return f"{key}: expected {_WANTED.get(key, 'a text')}"
    return ""


_WANTED = {
    "priority": "a whole number",
    "max_attempts": "a whole number; 0: as the type has it",
    "timeout": "a number of seconds; 0: as the type has it",
    "misfire_grace": "a number of seconds",
    "misfire": f"one of {', '.join(Misfire)}",
    "overlap": f"one of {', '.join(Overlap)}",
}


def rules(schedules: Mapping[str, ScheduleSection]) -> Iterator[Wrong]:
    """What is wrong, whichever unit runs."""
    if len(schedules) > MOST:
        yield PLACE, f"expected at most {MOST} schedules"
    for name, section in schedules.items():
        for member, expected in wrong(definition(name, section)):
            wanted = f"expected {NAMED}" if member == "name" else f"expected {expected}"
            yield f"{PLACE}.{name}", f"{member}: {wanted}"


def definitions(config: Config) -> list[Definition]:
    """Every schedule that the configuration declares."""
    return [definition(name, section) for name, section in config.schedules.items()]


def definition(name: str, section: ScheduleSection) -> Definition:
    """A schedule as the store keeps it."""
    return Definition(
        name=name,
        cron=section.cron,
        time_zone=section.time_zone,
        title=section.title or name,
        type=section.type,
        queue=section.queue,
        priority=section.priority,
        payload=msgspec.Raw(msgspec.json.encode(section.payload)),
        max_attempts=section.max_attempts or None,
        timeout_seconds=section.timeout or None,
        misfire=Misfire(section.misfire),
        misfire_grace=section.misfire_grace,
        overlap=Overlap(section.overlap),
    )
