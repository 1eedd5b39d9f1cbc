"""What has changed between two configurations, and whether it can change while TaskHub runs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from taskhub.config.keys import FREE, Key, name_in
from taskhub.config.load import all_keys, value_of
from taskhub.config.sections import Config
from taskhub.config.settings import shown

IN_PLACE = frozenset(
    {
        "supervisor.intensity",
        "supervisor.period",
        "supervisor.grace",
        "http.max_body",
        "http.max_batch_body",
        "http.header_timeout",
        "http.body_timeout",
        "http.access_log",
        "http.unknown_types",
        "http.tls_certificate",
        "http.tls_key",
        "http.metrics_allow",
        "http.trusted_proxies",
        "work.concurrency",
        "work.lease",
        "work.max_result",
        "work.queues",
        "heartbeat.every",
        "metrics.push_url",
        "metrics.push_every",
        "metrics.push_instance",
    }
)
"""Keys that change in a running process."""

IN_PLACE_SECTIONS = frozenset(
    {
        "jwt",
        "cors",
        "outbound",
        "logs",
        "limits",
        "retention",
        "policies",
        "log_levels",
        "schedules",
    }
)
"""Sections all of whose keys do."""


class How(StrEnum):
    """What a change needs."""

    IN_PLACE = "in-place"
    RESTART_NEEDED = "restart-needed"


class Change(msgspec.Struct, frozen=True):
    """One changed key; `old` and `new` are for the eyes: a secret is masked."""

    key: str
    old: str
    new: str
    how: How

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new} ({self.how})"


def changes(old: Config, new: Config) -> list[Change]:
    """Every key whose value differs, in the order of the sections."""
    found = {key.path: key for config in (old, new) for key in all_keys(config)}
    return [_change(old, new, key) for key in found.values() if _differs(old, new, key)]


def how_to_change(key: Key) -> How:
    """Whether a key changes in place or needs a new process."""
    is_in_table = bool(name_in(key.section, key.name))
    if key.section in IN_PLACE_SECTIONS or key.path in IN_PLACE or is_in_table:
        return How.IN_PLACE
    return How.RESTART_NEEDED


def _differs(old: Config, new: Config, key: Key) -> bool:
    return _value(old, key) != _value(new, key)


def _change(old: Config, new: Config, key: Key) -> Change:
    before, after = _value(old, key), _value(new, key)
    if key.is_secret:  # which one it is must not show, that it is another one must
        return Change(
            key.path, shown(key, before), f"{shown(key, after)} (another)", how_to_change(key)
        )
    return Change(key.path, _text(key, before), _text(key, after), how_to_change(key))


def _value(config: Config, key: Key) -> object:
    """None: a unit, or a policy, that one of the two does not have."""
    if key.section in FREE and key.name not in getattr(config, key.section):
        return None
    return value_of(config, key)


def _text(key: Key, value: object) -> str:
    return "(none)" if value is None else shown(key, value) or "(empty)"
