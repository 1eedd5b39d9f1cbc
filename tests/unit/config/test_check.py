"""Rules that concern more than one value: what may stand together, and for which unit."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from taskhub.config import check
from taskhub.config.sections import (
    UNITS,
    Config,
    CorsSection,
    EventsSection,
    HttpSection,
    JwtSection,
    LimitsSection,
    MetricsSection,
    OutboundSection,
    Secret,
    StoreSection,
    WorkSection,
)

SERVED = JwtSection(authority="us", audience="taskhub", issuer_signing_key=Secret("k" * 32))


def wrong(**sections: Any) -> list[tuple[str, str]]:
    """What the general rules say."""
    return list(check.rules(Config(**sections)))


def wrong_for(unit: str, **sections: Any) -> list[tuple[str, str]]:
    """What the rules for one unit say."""
    return list(check.rules_for(Config(**sections), unit))


def test_the_defaults_break_no_rule() -> None:
    """A start without any configuration says nothing but what it cannot know."""
    assert wrong() == []
    assert wrong_for("all", jwt=SERVED) == []
    assert wrong_for("tree", jwt=SERVED) == []
    assert wrong_for("metrics") == []


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("http://127.0.0.1:9091", True),
        ("https://push.example/behind/a/path/", True),
        ("push.example:9091", False),
        ("http://", False),
        ("http://name:secret@push.example", False),
        ("http://push.example?x=1", False),
        ("http://[push", False),
    ],
)
def test_a_pushgateway_has_an_address_without_secrets(url: str, is_good: bool) -> None:
    """It is shown by `taskhub config` as it stands there."""
    found = wrong(metrics=MetricsSection(push_url=url))

    assert [key for key, _ in found] == ([] if is_good else ["metrics.push_url"])


def test_who_shall_push_must_run() -> None:
    """A unit of one's own with `metrics` alone would push nothing, and nobody would say so."""
    section = MetricsSection(push_url="http://127.0.0.1:9091", push_instance="a/b")
    units = {**UNITS, "metrics": ("metrics",)}

    assert [key for key, _ in wrong(metrics=section)] == ["metrics.push_instance"]
    assert [key for key, _ in wrong_for("metrics", metrics=section, units=units)] == [
        "metrics.push_url"
    ]
    assert wrong_for("metrics", metrics=section) == []


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ((), "expected at least one actor"),
        (("store", "sbuscriber"), "did you mean subscriber?"),
        (("unit:workr",), "there is no unit 'workr'; did you mean worker?"),
        (("unit:worker*0",), "expected 1 to 64 copies"),
        (("unit:worker*65",), "expected 1 to 64 copies"),
        (("unit:worker*x",), "expected the name of an actor, or unit:NAME, or unit:NAME*COPIES"),
        (("store", "store"), "store stands here twice"),
        (("unit:api", "unit:api*2"), "unit:api stands here twice: use unit:NAME*COPIES"),
        (("pool", "store"), "store must stand before pool"),
        (("unit:mine",), "this unit would start itself"),
    ],
)
def test_a_unit_that_cannot_be_is_named(entries: tuple[str, ...], said: str) -> None:
    """Found at the start, not when the child is missed."""
    found = wrong(units={**UNITS, "mine": entries})

    assert any(key == "units.mine" and said in text for key, text in found), found


def test_units_that_start_each_other_in_a_ring_are_named() -> None:
    """Else the machine would be full of processes."""
    ring = {"one": ("unit:two",), "two": ("unit:three",), "three": ("unit:one",)}

    found = wrong(units={**UNITS, **ring})

    assert {key for key, _ in found} == {"units.one", "units.two", "units.three"}


def test_a_unit_above_a_ring_is_not_blamed() -> None:
    """The rule looks at the unit itself."""
    found = wrong(units={**UNITS, "top": ("unit:one",), "one": ("unit:one",)})

    assert {key for key, _ in found} == {"units.one"}


@pytest.mark.parametrize("name", ["Mine", "a/b", "", "x" * 33, "1st"])
def test_a_unit_has_a_name_that_fits_everywhere(name: str) -> None:
    """It is a file name, a label and a word on the command line."""
    found = wrong(units={**UNITS, name: ("metrics",)})

    assert found[0][0] == f"units.{name}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mssql://host/db", "expected a user, mssql://USER@HOST:PORT/DATABASE"),
        ("mssql://user:word@host/db", "it goes into [store] password"),
        ("mssql+pyodbc://host/db", "mssql+pyodbc is not in this version"),
        ("postgresql+psycopg://host/db", "postgresql+psycopg is not in this version"),
        ("postgresql://user:word@host/db", "it goes into [store] password"),
        ("postgresql://user@host", "expected sqlite:///PATH, postgresql://"),
        ("postgresql://user@/db", "expected a host"),
        ("postgresql://host/db?passfile=x", "expected no options but host,"),
        ("postgresql://host:many/db", "expected sqlite:///PATH, postgresql://"),
        ("mysql://host/db", "expected sqlite:///PATH"),
        ("data/taskhub.db", "expected sqlite:///PATH"),
        ("sqlite:///", "expected sqlite:///PATH"),
        ("sqlite:///:memory:", "memory outlives no process"),
        ("sqlite:///a.db?mode=ro", "without ?"),
    ],
)
def test_a_store_that_is_none_is_refused(url: str, said: str) -> None:
    """Nothing is guessed about where tasks live."""
    ((key, text),) = wrong(store=StoreSection(url=url))

    assert key == "store.url"
    assert said in text


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "local",
        "redis://h",
        "redis://h:1/0",
        "redis://[::1]:1",
        "rediss://h/0",
        "unix:///r.sock",
        "unix:///r.sock?db=1",
        "redis+streams://h:1/0",
        "rediss+streams://h",
        "unix+streams:///r.sock?db=1",
    ],
)
def test_event_servers_that_there_are(url: str) -> None:
    """The forms of the documentation."""
    assert wrong(events=EventsSection(url=url)) == []


def test_proxies_are_networks_or_unix_sockets() -> None:
    """The word stands for who has no address."""
    networks = ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix")

    assert wrong(http=HttpSection(trusted_proxies=networks)) == []


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("proxy.example", "expected networks such as 10.0.0.0/8"),
        ("10.0.0.1/8", "has host bits set"),
        ("*", "expected networks"),
        ("0.0.0.0/0", "anybody may claim any address"),
        ("::/0", "anybody may claim any address"),
    ],
)
def test_proxies_that_could_be_anybody_are_refused(network: str, said: str) -> None:
    """Who is believed by mistake chooses the address that is counted and audited."""
    ((key, text),) = wrong(http=HttpSection(trusted_proxies=(network,)))

    assert key == "http.trusted_proxies"
    assert said in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http+streams://h", "expected embedded"),
        ("redis+streams://:canary@h", "they go into [redis]"),
        ("servicebus://h", "servicebus://NAMESPACE.servicebus.windows.net/TOPIC"),
        ("servicebus+streams://h/t", "expected embedded"),
        ("servicebus://me:canary@h/t", "[servicebus] connection_string holds them"),
        ("servicebus://h/t?key=canary", "without # and without options"),
        ("redis://me:canary@h", "they go into [redis]"),
        ("redis://:canary@h", "they go into [redis]"),
        ("redis://h:port", "expected embedded, local, redis://"),
        ("redis://h/zero", "expected embedded"),
        ("redis://h?db=canary", "without # and without options"),
        ("redis://", "expected embedded"),
        ("unix://path", "expected embedded"),
        ("embeded", "expected embedded"),
        ("http://h", "expected embedded"),
    ],
)
def test_an_event_server_that_is_none_is_refused(url: str, said: str) -> None:
    """A password in a URL would be in every message about it."""
    ((key, text),) = wrong(events=EventsSection(url=url))

    assert key == "events.url"
    assert said in text
    assert "canary" not in text


@pytest.mark.parametrize("unit", ["api", "worker", "scheduler"])
def test_the_embedded_server_is_refused_for_units_that_stand_alone(unit: str) -> None:
    """Nobody would start it, and two who did would not hear each other."""
    found = dict(wrong_for(unit, jwt=SERVED))

    assert f"{unit} stands alone" in found["events.url"]


@pytest.mark.parametrize("unit", ["api", "worker", "scheduler", "tree"])
def test_local_events_are_refused_where_there_are_several_processes(unit: str) -> None:
    """A bell inside one process rings in no other."""
    found = dict(wrong_for(unit, jwt=SERVED, events=EventsSection(url="local")))

    assert "local is for a unit with api and pool in one process" in found["events.url"]


def test_local_events_are_taken_where_all_runs_in_one_process() -> None:
    """That is what they are for."""
    assert wrong_for("all", jwt=SERVED, events=EventsSection(url="local")) == []


@pytest.mark.parametrize("unit", ["api", "worker", "scheduler"])
def test_a_unit_that_stands_alone_takes_a_server_of_its_own(unit: str) -> None:
    """The usual way for one service per role."""
    assert wrong_for(unit, jwt=SERVED, events=EventsSection(url="redis://h")) == []


def test_an_unknown_unit_is_named_with_the_one_that_is_like_it() -> None:
    """`taskhub run --unit workr`."""
    ((key, text),) = wrong_for("workr")

    assert (key, text) == ("units", "there is no unit 'workr'; did you mean worker?")


@pytest.mark.parametrize("unit", ["api", "all", "tree"])
def test_who_serves_the_api_must_know_whose_tokens_to_believe(unit: str) -> None:
    """No secret has a default."""
    found = {key for key, _ in wrong_for(unit) if key.startswith("jwt.")}

    assert found == {"jwt.issuer_signing_key", "jwt.authority", "jwt.audience"}


def test_a_worker_needs_no_key() -> None:
    """It never sees a token."""
    assert wrong_for("worker", events=EventsSection(url="redis://h")) == []


@pytest.mark.parametrize("key", ["changeme", "k" * 31])
def test_a_short_key_is_refused_without_a_letter_of_it(key: str) -> None:
    """RFC 7518, section 3.2; PyJWT alone would only warn."""
    ((where, text),) = wrong(jwt=JwtSection(issuer_signing_key=Secret(key)))

    assert where == "jwt.issuer_signing_key"
    assert "at least 32 bytes" in text
    assert key not in text


def test_a_public_key_is_taken_and_a_private_one_is_not() -> None:
    """The API checks tokens, it makes none."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    taken = wrong(jwt=JwtSection(issuer_signing_key=Secret(public.decode())))
    ((_, refused),) = wrong(jwt=JwtSection(issuer_signing_key=Secret(secret.decode())))
    ((_, broken),) = wrong(jwt=JwtSection(issuer_signing_key=Secret("-----BEGIN PUBLIC KEY-----")))

    assert taken == []
    assert "expected the public key" in refused
    assert broken == "this PEM holds no public key that can be read"


@pytest.mark.parametrize("network", ["10.0.0.1/8", "example.com", "10.0.0.0/33", ""])
def test_networks_that_are_none_are_refused(network: str) -> None:
    """Whom /metrics answers must be clear."""
    ((key, _),) = wrong(http=HttpSection(metrics_allow=(network,)))

    assert key == "http.metrics_allow"


def test_what_tasks_may_call_and_sign_with_is_checked() -> None:
    """A slip would open more than was meant, or sign with what anybody can guess."""
    section = OutboundSection(allow=("10.0.0.1/8",), secret=Secret("whsec_c2hvcnQ="))

    (network, _), (secret, said) = wrong(outbound=section)

    assert (network, secret) == ("outbound.allow", "outbound.secret")
    assert "c2hvcnQ" not in said


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "http://localhost:4200", "http://[::1]:4200", "*"],
)
def test_exact_origins_are_taken(origin: str) -> None:
    """As a browser sends them."""
    assert wrong(cors=CorsSection(origins=(origin,))) == []


@pytest.mark.parametrize(
    "origin",
    [
        "https://*.example.com",
        "https://app.example.com:443",
        "http://localhost:80",
        "https://a:",
        "https://a:99999",
        "https://b\u00fccher.example",
        "https://a.example.com\n",
        "https://a.example.com?",
        "https://a b.example",
        "http://[::1",
        "",
        "null",
        "example.com",
        "https://a.example.com/",
        "https://a.example.com/app",
        "HTTPS://a.example.com",
        "https://me@a.example.com",
        "ftp://a.example.com",
        "https://a:port",
    ],
)
def test_other_origins_are_refused(origin: str) -> None:
    """They would match nothing, or everything."""
    ((key, _),) = wrong(cors=CorsSection(origins=(origin,)))

    assert key == "cors.origins"


@pytest.mark.parametrize(
    "section",
    [
        CorsSection(origins=("*",), credentials=True),
        CorsSection(origins=("*", "https://a.example.com")),
    ],
)
def test_every_page_is_never_every_page_with_cookies(section: CorsSection) -> None:
    """Any site could act as whoever looks at it; and a list beside `*` would be a slip."""
    ((key, _),) = wrong(cors=section)

    assert key == "cors.origins"


@pytest.mark.parametrize("module", ["shop/tasks.py", "shop.", "a-b", "os; rm"])
def test_handlers_are_modules(module: str) -> None:
    """They are imported by name."""
    ((key, _),) = wrong(work=WorkSection(handlers=(module,)))

    assert key == "work.handlers"


def limits_of(name: str, rate: str) -> LimitsSection:
    """One rate."""
    values: dict[str, Any] = {name: rate}
    return LimitsSection(**values)


@pytest.mark.parametrize("name", ["create", "acts", "work", "bad_tokens"])
def test_limits_are_rates_or_nothing(name: str) -> None:
    """A limit that is not what one thinks protects nobody."""
    ((key, said),) = wrong(limits=limits_of(name, "50 per s"))

    assert key == f"limits.{name}"
    assert said == (
        "expected 1 to 1,000,000 a second or minute or hour or day, such as 100/second, "
        "or nothing, not '50 per s'"
    )
    assert wrong(limits=limits_of(name, "50/minute")) == []


def test_two_servers_do_not_share_a_port() -> None:
    """The second would not start."""
    ((key, _),) = wrong(http=HttpSection(port=9464))
    free = wrong(http=HttpSection(port=0), metrics=MetricsSection(port=0))

    assert key == "metrics.port"
    assert free == []


@pytest.mark.parametrize("channel", ["a b", "a\nb", "a\x00"])
def test_a_channel_is_one_word(channel: str) -> None:
    """Others subscribe to it by hand."""
    ((key, _),) = wrong(events=EventsSection(channel=channel))

    assert key == "events.channel"


@pytest.mark.parametrize(("name", "value"), [("backlog", 5), ("backlog_age", 1.5)])
def test_a_limit_on_what_waits_needs_a_stream_to_see_it(name: str, value: float) -> None:
    """Else it would never be noticed that it does nothing."""
    section = LimitsSection(**{name: value})  # type: ignore[arg-type]
    ((key, text),) = wrong(limits=section)

    assert key == f"limits.{name}"
    assert "redis+streams://" in text
    assert wrong(limits=section, events=EventsSection(url="redis+streams://h")) == []
