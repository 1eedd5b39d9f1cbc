"""Reading `[events] url`: what is understood, what is a mistake, and that no secret is shown."""

from __future__ import annotations

import pytest
from taskhub.config.sections import Secret
from taskhub.errors import ConfigProblem
from taskhub.events.redis_line import Address
from taskhub.events.redis_pubsub import RedisBus

CANARY = "canary-77aa"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://example:7000/2", {"host": "example", "port": 7000, "db": 2}),
        ("redis://example?db=5", {"host": "example", "db": 5}),
        ("rediss://example?ssl_ca_path=/etc", {"host": "example", "ssl_ca_path": "/etc"}),
        ("unix:///run/v%20k.sock?db=1", {"path": "/run/v k.sock", "db": 1}),
        ("redis://n:p%40w@example", {"host": "example", "username": "n", "password": "p@w"}),
    ],
)
def test_a_url_says_where_and_who(url: str, expected: dict[str, object]) -> None:
    """The forms that every Redis client reads."""
    options = Address.parse(url, "", Secret(""), "taskhub").options

    assert options == expected | {"client_name": "taskhub"}


def test_the_section_wins_over_the_url() -> None:
    """A secret comes from the environment or a file; the URL stands in the configuration."""
    options = Address.parse("redis://a:b@example", "me", Secret("mine"), "x").options

    assert (options["username"], options["password"]) == ("me", "mine")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example:6379",
        "http://example",
        f"redis://:{CANARY}@example:port",
        f"redis://:{CANARY}@example?db=first",
        f"redis://:{CANARY}@example?retry_on_timeout=yes",
        f"redis://:{CANARY}@example?ssl_ca_certs=/ca.pem",
        f"rediss://:{CANARY}@example?ssl_no_such=1",
        f"rediss://:{CANARY}@example?ssl_ca_certs=/no/such/file",
        f"rediss://:{CANARY}@example?ssl_ca_certs=/dev/null",
        f"rediss://:{CANARY}@example?ssl_cert_reqs=perhaps",
        f"redis://:{CANARY}@example?client_name=other",
        "unix://?db=1",
    ],
)
def test_a_wrong_url_is_a_problem_of_its_key(url: str) -> None:
    """`taskhub check` lists it; what was given may hold a password, so it is not repeated."""
    with pytest.raises(ConfigProblem) as problem:
        RedisBus(url)

    assert problem.value.place == "events.url"
    assert CANARY not in str(problem.value)


def test_nothing_shows_the_password() -> None:
    """A bus stands in tracebacks and debuggers."""
    bus = RedisBus(f"redis://me:{CANARY}@example", password=Secret(CANARY))

    assert CANARY not in repr(bus) + repr(vars(bus)) + str(bus._address)
