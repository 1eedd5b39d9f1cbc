"""Turns settings into the checked sections, and names every value that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from taskhub.config.keys import (
    LEVELS_SECTION,
    NAMED,
    POLICIES_SECTION,
    SCHEDULES_SECTION,
    UNITS_SECTION,
    Key,
    expected,
    keys,
    name_in,
    sections,
)
from taskhub.config.schedules import section_of
from taskhub.config.sections import UNITS, Config, ScheduleSection, Secret
from taskhub.config.settings import Setting, repeated

Report = Callable[[Setting, str], None]
"""Called with each setting that does not fit and with what was expected instead."""


def convert(settings: Mapping[str, Setting], report: Report) -> Config:
    """The configuration; a value that does not fit is reported and its default stands."""
    made = {name: _section(name, kind, settings, report) for name, kind in sections().items()}
    for section, (tables, kind) in NAMED.items():
        found = _tables(section, kind, settings, report)
        made[section] = msgspec.structs.replace(made[section], **{tables: found})
    units = {**UNITS, **_free(UNITS_SECTION, settings, report)}
    policies = _free(POLICIES_SECTION, settings, report)
    levels = _free(LEVELS_SECTION, settings, report)
    made |= {"schedules": _schedules(settings, report)}
    return Config(units=units, policies=policies, log_levels=levels, **made)


def _section(
    name: str, kind: type[msgspec.Struct], settings: Mapping[str, Setting], report: Report
) -> Any:
    mine = [key for key in keys().values() if key.section == name and key.path in settings]
    return kind(**{key.name: _value(settings[key.path], report) for key in mine})


def _tables(
    section: str, kind: type[msgspec.Struct], settings: Mapping[str, Setting], report: Report
) -> dict[str, Any]:
    """Every table of a user's own name in a section."""
    found: dict[str, dict[str, Any]] = {}
    for item in settings.values():
        if item.key.section == section and (name := name_in(section, item.key.name)):
            last = item.key.name.rpartition(".")[2]
            found.setdefault(name, {})[last] = _value(item, report)
    return {name: kind(**values) for name, values in found.items()}


def _free(section: str, settings: Mapping[str, Setting], report: Report) -> dict[str, Any]:
    """Everything that stands in a free section, by name."""
    mine = [item for item in settings.values() if item.key.section == section]
    return {item.key.name: _value(item, report) for item in mine}


def _schedules(settings: Mapping[str, Setting], report: Report) -> dict[str, ScheduleSection]:
    """Every table of `[[schedules]]` that can be read."""
    found: dict[str, ScheduleSection] = {}
    for item in settings.values():
        if item.key.section == SCHEDULES_SECTION:
            section = section_of(item.value, partial(report, item))
            found |= {} if section is None else {item.key.name: section}
    return found


def _value(item: Setting, report: Report) -> Any:
    value = _from_text(item.key, item.value) if item.is_text else item.value
    try:
        return msgspec.convert(value, item.key.type, strict=not item.is_text, dec_hook=_secret)
    except msgspec.ValidationError:  # its text may repeat the value: ours does not for a secret
        report(item, f"expected {expected(item.key)}{repeated(item.key, value)}")
        return item.key.default


def _from_text(key: Key, text: Any) -> Any:
    """What a text from the environment means: commas part a list, a word has no case."""
    if not isinstance(text, str) or key.is_secret:
        return text
    if key.is_list:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text.strip().lower() if key.choices or key.type is bool else text.strip()


def _secret(kind: type, value: Any) -> Any:
    """A secret is made of a text, and of nothing else."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"no {kind.__name__}")
