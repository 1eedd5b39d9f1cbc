"""What may stand in `[tracing]`."""

from __future__ import annotations

import pytest
from taskhub.config import check
from taskhub.config.sections import Config, Secret, TracingSection


def wrong(section: TracingSection) -> dict[str, str]:
    """What is wrong with it, by key."""
    return dict(check.rules(Config(tracing=section)))


def test_what_is_off_is_not_judged() -> None:
    """A half-written section waits for its day."""
    assert wrong(TracingSection(endpoint="nowhere")) == {}


@pytest.mark.parametrize("endpoint", ["", "collector:4318", "grpc://x", "http://", "http://[x"])
def test_a_collector_is_asked_over_http(endpoint: str) -> None:
    """Anything else would be found out by no span ever coming."""
    assert list(wrong(TracingSection(exporter="otlp", endpoint=endpoint))) == ["tracing.endpoint"]


def test_a_password_has_no_place_in_the_address() -> None:
    """It would be shown; the variable of the headers is not."""
    said = wrong(TracingSection(exporter="otlp", endpoint="http://me:canary@c:4318/v1/traces"))

    assert "OTEL_EXPORTER_OTLP_HEADERS" in said["tracing.endpoint"]
    assert "canary" not in said["tracing.endpoint"]


def test_azure_wants_its_library_and_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are said at once."""
    monkeypatch.setattr(check, "_is_there", lambda _: False)

    said = wrong(TracingSection(exporter="azure"))
    assert "taskhub[azure]" in said["tracing.exporter"]
    assert "Application Insights" in said["tracing.connection_string"]
    monkeypatch.setattr(check, "_is_there", lambda _: True)
    good = TracingSection(exporter="azure", connection_string=Secret("InstrumentationKey=x"))
    assert wrong(good) == {}
