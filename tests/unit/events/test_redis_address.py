"""From the configuration to a connection: what the client is given, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import ConfigProblem
from taskhub.events.redis_line import Address
from taskhub.events.redis_pubsub import RedisBus

CANARY = "canary-77aa"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://example:7000/2", {"host": "example", "port": 7000, "db": 2}),
        ("rediss+streams://[::1]", {"host": "::1", "port": 6379}),
        ("unix:///run/v%20k.sock?db=1", {"path": "/run/v k.sock", "db": 1}),
    ],
)
def test_a_url_says_where(url: str, expected: dict[str, object]) -> None:
    """As redis-py names it."""
    options = Address.parse(url, RedisSection(), "taskhub").options

    assert options == expected | {"client_name": "taskhub"}


def test_the_section_says_who() -> None:
    """A secret comes from the environment or a file; the URL stands in the configuration."""
    login = RedisSection(username="me", password=Secret("mine"))

    options = Address.parse("redis://example", login, "x").options

    assert (options["username"], options["password"]) == ("me", "mine")


def test_sentinels_have_a_login_of_their_own_and_no_database() -> None:
    """They know no users of the server."""
    login = RedisSection(username="me", password=Secret("mine"), sentinel_password=Secret("theirs"))
    address = Address.parse("redis+sentinel://a,b:1/taskhub/2", login, "x")

    sentinel, server = address.sentinel(("b", 1)), address.at(("c", 2))

    assert sentinel.options == {
        "client_name": "x", "password": "theirs", "host": "b", "port": 1
    }  # fmt: skip
    assert (server.options["username"], server.options["db"]) == ("me", 2)
    assert (server.way, address.hosts) == ("", (("a", 26379), ("b", 1)))


@pytest.mark.parametrize("url", ["", f"redis://:{CANARY}@example", "unix://?db=1"])
def test_a_wrong_url_is_a_problem_of_its_key(url: str) -> None:
    """`taskhub check` lists it; what was given may hold a password, so it is not repeated."""
    with pytest.raises(ConfigProblem) as problem:
        RedisBus(url)

    assert problem.value.place == "events.url"
    assert CANARY not in str(problem.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_no_certificate_is_found_at_once(
    content: str | None, tmp_path: Path
) -> None:
    """At the first call it would look like a server that is away."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigProblem) as problem:
        RedisBus("rediss://example", login=RedisSection(tls_ca=str(file)))

    assert problem.value.place == "redis.tls_ca"


def test_nothing_shows_the_password() -> None:
    """A bus stands in tracebacks and debuggers."""
    login = RedisSection(password=Secret(CANARY), sentinel_password=Secret(CANARY))
    bus = RedisBus("redis+sentinel://example/taskhub", login=login)

    assert CANARY not in repr(bus) + repr(vars(bus)) + str(bus._address)
