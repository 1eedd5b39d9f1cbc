"""Every key of the configuration, and in words what its value must be; no reading."""

from __future__ import annotations

import difflib
import functools
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from taskhub.config import policies
from taskhub.config.sections import (
    Config,
    IssuerSection,
    LogLevel,
    QueueSection,
    ScheduleSection,
    Secret,
    WebhookSection,
)

UNITS_SECTION = "units"
POLICIES_SECTION = "policies"
SCHEDULES_SECTION = "schedules"
LEVELS_SECTION = "log_levels"
FREE = (UNITS_SECTION, POLICIES_SECTION, LEVELS_SECTION, SCHEDULES_SECTION)
"""Sections of lists or tables by name, where only what is set has a key."""
JWT_SECTION, ISSUERS = "jwt", "issuers"
OUTBOUND_SECTION, WEBHOOKS = "outbound", "webhooks"
WORK_SECTION, QUEUE_LIMITS = "work", "limits"
NAMED: Mapping[str, tuple[str, type[msgspec.Struct]]] = {
    JWT_SECTION: (ISSUERS, IssuerSection),
    OUTBOUND_SECTION: (WEBHOOKS, WebhookSection),
    WORK_SECTION: (QUEUE_LIMITS, QueueSection),
}
"""Sections that hold tables of a user's own names: `[outbound.webhooks.NAME]`."""
DEPTH = 3
"""Parts of the name of such a key, its section aside."""


class Key(msgspec.Struct, frozen=True):
    """One setting: where it stands, what it takes, and what it is when nobody sets it."""

    section: str
    name: str
    type: Any
    default: Any

    @property
    def path(self) -> str:
        """As it is named in messages: `http.port`."""
        return f"{self.section}.{self.name}"

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown."""
        return self.type is Secret

    @property
    def is_address(self) -> bool:
        """Whether it is a URL whose path may be as good as a password."""
        return (self.section, self.name.rpartition(".")[2]) == (OUTBOUND_SECTION, "url")

    @property
    def is_list(self) -> bool:
        """Whether it takes several texts (commas part them in the environment)."""
        return typing.get_origin(self.type) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it takes, when only some are possible."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()


@functools.cache
def sections() -> Mapping[str, type[msgspec.Struct]]:
    """The struct of each section but the free ones."""
    fields = msgspec.structs.fields(Config)
    return {field.name: field.type for field in fields if field.name not in FREE}


@functools.cache
def keys() -> Mapping[str, Key]:
    """Every key by its path, in the order of the sections; without those of free sections."""
    return {key.path: key for section, kind in sections().items() for key in _of(section, kind)}


def _of(section: str, kind: type[msgspec.Struct]) -> Iterable[Key]:
    tables, _ = NAMED.get(section, ("", None))
    for field in msgspec.structs.fields(kind):
        if field.name != tables:
            yield Key(section, field.name, field.type, field.default)


def free_key(section: str, name: str) -> Key:
    """The key of one unit's actors, one route's policy, one actor's level, one schedule's table."""
    if section == SCHEDULES_SECTION:
        return Key(section, name, ScheduleSection, None)
    if section == LEVELS_SECTION:
        return Key(section, name, LogLevel, None)
    return Key(section, name, tuple[str, ...], ())


def policy_key(text: str) -> Key | None:
    """The key of the route that is meant, whatever the case and the underscores."""
    name = next((name for name in policies.ROUTES if plain(name) == plain(text)), None)
    return free_key(POLICIES_SECTION, name) if name else None


def named_keys(section: str, name: str) -> Iterable[Key]:
    """The keys of one table of a user's own name."""
    tables, kind = NAMED[section]
    for field in msgspec.structs.fields(kind):
        yield Key(section, f"{tables}.{name}.{field.name}", field.type, field.default)


def tables_of(config: Config, section: str) -> Mapping[str, msgspec.Struct]:
    """The tables of a user's own names that a section holds."""
    found: Mapping[str, msgspec.Struct] = getattr(getattr(config, section), NAMED[section][0])
    return found


def name_in(section: str, key: str) -> str:
    """NAME of `webhooks.NAME.url`; empty for every key that is in no such table."""
    parts = key.split(".")
    tables, _ = NAMED.get(section, ("", None))
    return parts[1] if parts[0].lower() == tables and len(parts) == DEPTH else ""


def key_of(path: str) -> Key | None:
    """The key that stands at this path; None when there is none."""
    section, _, name = path.partition(".")
    if section in (UNITS_SECTION, LEVELS_SECTION, SCHEDULES_SECTION) and name:
        return free_key(section, name)
    if section == POLICIES_SECTION and name in policies.ROUTES:
        return free_key(section, name)
    if own := name_in(section, name):
        return next((key for key in named_keys(section, own) if key.path == path), None)
    return keys().get(path)


def issuer_in(section: str, name: str) -> str:
    """NAME of `issuers.NAME.key`; empty for every other key."""
    parts = name.split(".")
    is_meant = section == JWT_SECTION and parts[0].lower() == ISSUERS and len(parts) == DEPTH
    return parts[1] if is_meant else ""


def plain(text: str) -> str:
    """A name as it is compared: without case and underscores."""
    return text.replace("_", "").lower()


def section_named(text: str) -> str | None:
    """The section that is meant, whatever the case and the underscores."""
    known = (*sections(), *FREE)
    return next((name for name in known if plain(name) == plain(text)), None)


def key_named(section: str, text: str) -> Key | None:
    """The key of `section` that is meant, whatever the case and the underscores."""
    if section in (UNITS_SECTION, LEVELS_SECTION):
        return free_key(section, text.lower().replace("_", "-")) if text else None
    if section == POLICIES_SECTION:
        return policy_key(text)
    if own := name_in(section, dotted := text.replace("__", ".")):
        mine = named_keys(section, own.lower().replace("_", "-"))
        return _among(mine, dotted.rpartition(".")[2])
    return _among((key for key in keys().values() if key.section == section), text)


def _among(found: Iterable[Key], text: str) -> Key | None:
    return next((key for key in found if plain(key.name.rpartition(".")[2]) == plain(text)), None)


def hint_for_key(section: str, name: str) -> str:
    """`; did you mean ...?`, or nothing when no key is like it."""
    if section == SCHEDULES_SECTION:
        return "; they stand in the configuration file, as [[schedules]]"
    dotted = name.replace("__", ".").lower()
    tables, _ = NAMED.get(section, ("", None))
    if tables and dotted.partition(".")[0] == tables:
        return _hint_in_table(section, dotted)
    names = names_of(section)
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    if near:
        return f"; did you mean {section}.{lower[near[0]]}?"
    elsewhere = [path for path, key in keys().items() if plain(key.name) == plain(name)]
    return f"; did you mean {elsewhere[0]}?" if elsewhere else f"; known: {', '.join(names)}"


def names_of(section: str) -> list[str]:
    """What keys a section may have; a unit may have any name."""
    if section == POLICIES_SECTION:
        return list(policies.ROUTES)
    return [key.name for key in keys().values() if key.section == section]


def _hint_in_table(section: str, key: str) -> str:
    own = name_in(section, key)
    names = [each.name for each in named_keys(section, own or "NAME")]
    near = difflib.get_close_matches(key, names, n=1) if own else []
    known = ", ".join(name.rpartition(".")[2] for name in names)
    tables = f"[{section}.{NAMED[section][0]}.NAME]"
    return f"; did you mean {section}.{near[0]}?" if near else f"; known in {tables}: {known}"


def hint_for_section(name: str) -> str:
    """`; did you mean ...?`, or the list of all sections."""
    known = [*sections(), *FREE]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean [{near[0]}]?" if near else f"; known: {', '.join(sorted(known))}"


def expected(key: Key) -> str:
    """What the key takes, in words."""
    if key.is_secret:
        return "a text"
    if key.is_list:
        return "a list of texts"
    if key.choices:
        return f"one of {', '.join(key.choices)}"
    return _expected_of(*_unpacked(key.type))


def _unpacked(kind: Any) -> tuple[Any, msgspec.Meta]:
    if typing.get_origin(kind) is typing.Annotated:
        base, meta = typing.get_args(kind)[:2]
        return base, meta
    return kind, msgspec.Meta()


def _expected_of(base: Any, meta: msgspec.Meta) -> str:
    if base is bool:
        return "true or false"
    if base is str:
        limit = f" of {meta.min_length} to {meta.max_length} characters" if meta.max_length else ""
        return f"a text{limit}"
    noun = "a whole number" if base is int else "a number"
    low = f"over {meta.gt:g}" if meta.gt is not None else f"from {meta.ge:.12g}"
    return f"{noun} {low} to {meta.le:.12g}"
