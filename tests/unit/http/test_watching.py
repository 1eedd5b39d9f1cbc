"""What machines ask without a token: health, readiness, metrics, the description."""

from __future__ import annotations

import pytest
from taskhub.errors import StoreDown
from taskhub.http.clients import is_inside
from taskhub.http.context import PartHealth

from tests.unit.http.house import CONFIG, House, tuned


async def test_health_is_a_word(house: House) -> None:
    """Two letters, no token, no part asked: an ill database must restart nothing."""
    house.parts = [PartHealth("store", "failed", "The database does not answer.")]
    del house.client.headers["Authorization"]

    reply = await house.ask("GET", "/health")

    assert (reply.status, reply.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("store", "events", "status", "word"),
    [
        ("ok", "ok", 200, "ok"),
        ("ok", "degraded", 200, "degraded"),
        ("ok", "failed", 503, "failed"),
        ("failed", "degraded", 503, "failed"),
    ],
)
async def test_readiness_names_each_part(
    house: House, store: str, events: str, status: int, word: str
) -> None:
    """The worst part decides; without the event server work goes on."""
    house.parts = [PartHealth("store", store), PartHealth("events", events, "It is away.")]  # type: ignore[arg-type]
    del house.client.headers["Authorization"]

    reply = await house.ask("GET", "/ready")

    assert (reply.status, reply.json["status"]) == (status, word)
    assert [part["name"] for part in reply.json["parts"]] == ["store", "events"]
    assert reply.json["parts"][1] == {"name": "events", "state": events, "detail": "It is away."}


async def test_metrics_are_for_allowed_networks(house: House) -> None:
    """The peer's address counts; what a proxy brings from elsewhere is not let in."""
    del house.client.headers["Authorization"]

    near = await house.ask("GET", "/metrics")
    through = await house.ask("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    house.config = tuned(CONFIG, metrics_allow=("10.0.0.0/8",))
    far = await house.ask("GET", "/metrics")

    assert (near.status, near.body) == (200, b"up 1\n")
    assert near.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert (through.status, far.status) == (403, 403)


async def test_metrics_come_in_the_form_that_is_asked_for(house: House) -> None:
    """Prometheus asks for OpenMetrics, and packed."""
    modern = await house.ask(
        "GET",
        "/metrics",
        headers={"Accept": "application/openmetrics-text", "Accept-Encoding": "identity"},
    )

    assert modern.body == b"# EOF\n"
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text")
    assert modern.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("nonsense", False),
    ],
)
def test_addresses_belong_to_networks(address: str, inside: bool) -> None:
    """IPv4 in IPv6 is IPv4; a unix socket's peer has no address and is near."""
    assert is_inside(address, CONFIG.http.metrics_allow) is inside


async def test_trouble_is_answered_by_its_own_status(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not answer is 503, and says when to come back."""

    async def down(_: object) -> object:
        raise StoreDown

    monkeypatch.setattr(house.store, "find", down)

    reply = await house.ask("GET", "/tasks")

    assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
    assert reply.json["type"] == "urn:taskhub:problem:store-down"
