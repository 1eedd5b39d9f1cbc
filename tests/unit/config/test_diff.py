"""What a reload would change, and what of it needs a new process."""

from __future__ import annotations

import msgspec
import pytest
from taskhub.config.diff import How, changes, how_to_change
from taskhub.config.keys import free_key, keys
from taskhub.config.sections import (
    UNITS,
    Config,
    HttpSection,
    JwtSection,
    LogsSection,
    Secret,
    WorkSection,
)

IN_PLACE = """
supervisor.intensity supervisor.period supervisor.grace
http.max_body http.max_batch_body http.header_timeout http.body_timeout http.metrics_allow
http.trusted_proxies http.access_log http.unknown_types
http.tls_certificate http.tls_key
jwt.authority jwt.audience jwt.issuer_signing_key jwt.metadata_address jwt.leeway
jwt.scope_claims jwt.role_claims
work.concurrency work.lease work.queues work.max_result
heartbeat.every logs.level metrics.push_url metrics.push_every metrics.push_instance
cors.origins limits.mailbox retention.tasks_days retention.results_days
retention.events_days retention.audit_days retention.keys_hours cors.credentials
limits.create limits.acts limits.work limits.bad_tokens
limits.backlog limits.backlog_age
outbound.allow outbound.secret
logs.directory logs.format logs.keep_days logs.max_mb
"""
RESTART_NEEDED = """
supervisor.runtime_directory http.host http.port store.url store.password store.lock_timeout
tracing.connection_string tracing.endpoint tracing.exporter tracing.ratio
events.url events.channel redis.username redis.password redis.sentinel_password
redis.tls_ca redis.tls_certificate redis.tls_key servicebus.connection_string
servicebus.subscription servicebus.work work.handlers work.processes
metrics.host metrics.port
"""


def test_every_key_is_known_to_change_in_place_or_not() -> None:
    """A new key must be decided, and the documentation says the same."""
    found = {
        how: {path for path, key in keys().items() if how_to_change(key) is how} for how in How
    }

    assert found[How.IN_PLACE] == set(IN_PLACE.split())
    assert found[How.RESTART_NEEDED] == set(RESTART_NEEDED.split())
    assert how_to_change(free_key("units", "tree")) is How.RESTART_NEEDED


def test_the_same_configuration_has_no_changes() -> None:
    """A reload of an unchanged file does nothing."""
    assert changes(Config(), Config()) == []


def test_each_change_says_what_it_needs() -> None:
    """An operator reads it before the reload."""
    old = Config()
    new = Config(
        http=HttpSection(port=9000),
        work=WorkSection(concurrency=8, queues=("mail", "pdf")),
        logs=LogsSection(level="debug"),
    )

    assert [str(change) for change in changes(old, new)] == [
        "http.port: 8080 -> 9000 (restart-needed)",
        "work.concurrency: 64 -> 8 (in-place)",
        "work.queues: (empty) -> mail, pdf (in-place)",
        "logs.level: info -> debug (in-place)",
    ]


def test_units_that_come_and_go_are_named() -> None:
    """They are processes: they need a new start."""
    old = Config(units={**UNITS, "mine": ("metrics",)})
    new = Config(units={**UNITS, "other": ("metrics",)})

    assert [str(change) for change in changes(old, new)] == [
        "units.mine: metrics -> (none) (restart-needed)",
        "units.other: (none) -> metrics (restart-needed)",
    ]


@pytest.mark.parametrize("before", ["", "canary-1" * 4])
def test_a_changed_secret_shows_only_that_it_has_changed(before: str) -> None:
    """The diff is logged."""
    old = Config(jwt=JwtSection(issuer_signing_key=Secret(before)))
    new = Config(jwt=JwtSection(issuer_signing_key=Secret("canary-2" * 4)))

    (change,) = changes(old, new)

    assert change.how is How.IN_PLACE
    assert "canary" not in f"{change!r} {change} {msgspec.json.encode(change)!r}"
    assert change.new == "*** (another)"
