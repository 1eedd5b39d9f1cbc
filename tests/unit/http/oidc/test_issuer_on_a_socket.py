"""An API and the issuer of its tokens on real sockets: discovery, rotation, outage, misdeeds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from taskhub.config.sections import Config, JwtSection
from taskhub.http import auth
from taskhub.http.auth import Verifier
from taskhub.http.oidc import fetching, provider
from taskhub.obs.telemetry import KeysChanged, StateChanged

from tests.unit.http.ear import listening
from tests.unit.http.house import House, Reply, open_house
from tests.unit.http.oidc.publisher import (
    AUDIENCE,
    Misdeed,
    Publisher,
    elsewhere,
    failing,
    garbage,
    huge,
    never,
    zipped,
)
from tests.waiting import until

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks may follow each other at once, so that a test of something else need not wait."""
    monkeypatch.setattr(provider, "COOL_DOWN", 0.05)


async def asked(house: House, publisher: Publisher, *args: Any, **claims: Any) -> Reply:
    """A list of tasks, asked for with a token of the issuer."""
    return await house.ask("GET", "/tasks", headers=publisher.bearer(*args, **claims))


async def ready(house: House) -> tuple[int, dict[str, str]]:
    """The status of `/ready`, and the state of each part."""
    reply = await house.ask("GET", "/ready")
    return reply.status, {part["name"]: part["state"] for part in reply.json["parts"]}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_a_discovered_issuer_is_believed(
    trusting: House, publisher: Publisher, algorithm: str, impatient: None
) -> None:
    """Nothing but its name is configured; whatever algorithm it has chosen."""
    publisher.rotate(algorithm)

    assert (await asked(trusting, publisher)).status == 200
    assert (await ready(trusting))[1]["keys"] == "ok"


async def test_tokens_that_come_before_the_first_keys_wait_for_them(
    trusting: House, publisher: Publisher
) -> None:
    """The API has just been started: many ask, one fetch answers them all."""
    replies = await asyncio.gather(*(asked(trusting, publisher, jti=str(n)) for n in range(50)))

    assert {reply.status for reply in replies} == {200}
    assert publisher.fetches == 1


async def test_a_rotation_under_load_causes_no_false_401(
    trusting: House, publisher: Publisher, impatient: None
) -> None:
    """Clients come with tokens of the new key at once, and with those of the old one."""
    assert (await asked(trusting, publisher)).status == 200
    statuses: list[int] = []
    stop = asyncio.Event()

    async def client(number: int) -> None:
        while not stop.is_set():
            reply = await asked(trusting, publisher, jti=f"{number}-{len(statuses)}")
            statuses.append(reply.status)

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for _ in range(3):
        publisher.add()
        seen = len(statuses)
        await until(lambda seen=seen: len(statuses) > seen + 40)  # type: ignore[misc]
    stop.set()
    await asyncio.gather(*clients)

    assert set(statuses) == {200}
    assert len(trusting.said(KeysChanged)) == 4


async def test_the_tokens_of_a_withdrawn_key_die_with_it(
    trusting: House, publisher: Publisher, impatient: None
) -> None:
    """They were verified and cached a moment ago: the cache does not keep them alive."""
    old = publisher.bearer()
    assert (await trusting.ask("GET", "/tasks", headers=old)).status == 200
    publisher.rotate()

    assert (await asked(trusting, publisher)).status == 200
    assert (await trusting.ask("GET", "/tasks", headers=old)).status == 401


async def test_a_stream_ends_with_the_key_of_its_token(
    trusting: House, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """It was begun with a good token: it is looked at again and again."""
    monkeypatch.setattr(auth, "CACHE_SECONDS", 0.1)
    async with listening(trusting, **publisher.bearer()) as ear:
        publisher.rotate()
        trusting.keyring.hurry()

        assert await ear.rest() == []
        assert len(ear.retries) == 2


async def test_a_key_that_stays_keeps_its_tokens_cached(
    trusting: House, publisher: Publisher, impatient: None
) -> None:
    """A rotation must not make every client's next request dear."""
    first = publisher.bearer()
    await trusting.ask("GET", "/tasks", headers=first)
    verifier = trusting.context.verifier
    known = verifier.principal(first["Authorization"])
    publisher.add()
    assert (await asked(trusting, publisher)).status == 200

    assert verifier.principal(first["Authorization"]) is known


async def test_unknown_keys_cause_no_storm_of_fetches(
    trusting: House, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers send tokens of keys that they make up: 401, and the issuer hears of it twice."""
    monkeypatch.setattr(provider, "COOL_DOWN", 0.5)
    assert (await asked(trusting, publisher)).status == 200
    forged = [publisher.bearer(header={"kid": f"x{number}"}) for number in range(50)]

    replies = await asyncio.gather(*(trusting.ask("GET", "/tasks", headers=f) for f in forged))

    assert {reply.status for reply in replies} == {401}
    assert publisher.fetches <= 3


async def test_tokens_of_somebody_else_ask_for_no_keys(
    trusting: House, publisher: Publisher
) -> None:
    """A client that mixes up its tokens is refused at once, and the issuer does not hear of it."""
    assert (await asked(trusting, publisher)).status == 200

    reply = await asked(trusting, publisher, header={"kid": "x"}, iss="https://other.example")

    assert (reply.status, publisher.fetches) == (401, 1)


FORGED: dict[str, dict[str, Any]] = {
    "a path": {"kid": "../../dev/null"},
    "SQL": {"kid": "' OR 1=1--"},
    "a number": {"kid": 5},
    "a list": {"kid": ["x"]},
    "long": {"kid": "x" * 1_000},
    "none": {"alg": "none"},
    "HMAC": {"alg": "HS256"},
    "another of its family": {"alg": "ES384"},
    "another family": {"alg": "RS256"},
    "an address": {"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "kid": "x"},
    "an ID token by its type": {"typ": "id+jwt"},
    "a logout token": {"typ": "logout+jwt"},
}


@pytest.mark.parametrize("header", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_header_is_refused(
    trusting: House, publisher: Publisher, header: dict[str, Any], impatient: None
) -> None:
    """Whatever the header says, only a key of the issuer counts, for what it is meant for."""
    import base64
    import json

    good = publisher.token()
    head = json.loads(base64.urlsafe_b64decode(good.split(".")[0] + "=="))
    packed = base64.urlsafe_b64encode(json.dumps(head | header).encode()).decode().rstrip("=")
    token = ".".join([packed, *good.split(".")[1:]])

    reply = await trusting.ask("GET", "/tasks", headers={"Authorization": f"Bearer {token}"})

    assert reply.status == 401
    assert reply.json["detail"] == "A valid bearer token is needed."


async def test_a_public_key_is_no_secret(trusting: House, publisher: Publisher) -> None:
    """The classic: HS256 with the published key as the secret."""
    import hashlib
    import hmac
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    kid = publisher.rotate("RS256")
    public = publisher.keys[kid][0].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = urlsafe_b64encode(f'{{"alg":"HS256","kid":"{kid}"}}'.encode()).decode().rstrip("=")
    text = f"{head}.{publisher.token().split('.')[1]}"
    mark = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    token = f"{text}.{urlsafe_b64encode(mark).decode().rstrip('=')}"

    reply = await trusting.ask("GET", "/tasks", headers={"Authorization": f"Bearer {token}"})

    assert reply.status == 401


async def test_an_outage_of_the_issuer_is_told_and_survived(
    trusting: House, publisher: Publisher, impatient: None
) -> None:
    """Known keys go on; a token of an unknown one is not judged; `/ready` and the log say why."""
    before = publisher.bearer()
    assert (await trusting.ask("GET", "/tasks", headers=before)).status == 200
    publisher.add()
    await publisher.stop()

    strange = await asked(trusting, publisher)
    again = await asked(trusting, publisher)

    assert (strange.status, again.status) == (503, 503)
    assert strange.json["type"] == "urn:taskhub:problem:keys-away"
    assert 1 <= int(strange.headers["Retry-After"]) <= 60
    assert (await trusting.ask("GET", "/tasks", headers=before)).status == 200
    forged = {"Authorization": before["Authorization"][:-8] + "AAAAAAAA"}
    assert (await trusting.ask("GET", "/tasks", headers=forged)).status == 401
    status, parts = await ready(trusting)
    assert (status, parts["keys"]) == (200, "degraded")
    told = [e.state for e in trusting.said(StateChanged) if e.part == "keys"]
    assert told == ["ok", "degraded"]

    await publisher.start()
    await until(lambda: trusting.said(StateChanged)[-1].state == "ok")
    assert (await asked(trusting, publisher)).status == 200


async def test_without_keys_there_is_no_verdict(
    tmp_path: Path, empty_database: Path, publisher: Publisher, impatient: None
) -> None:
    """The issuer is away at the start: 503 and red, never a false 401; well when it comes."""
    token = publisher.bearer()
    await publisher.stop()
    config = Config(jwt=JwtSection(authority=publisher.url, audience=AUDIENCE))
    async with open_house(tmp_path, empty_database, config) as house:
        reply = await house.ask("GET", "/tasks", headers=token)
        assert reply.status == 503
        assert "Retry-After" in reply.headers
        assert (await house.ask("GET", "/tasks", headers={"Authorization": "x"})).status == 401
        status, parts = await ready(house)
        assert (status, parts["keys"]) == (503, "failed")

        await publisher.start()
        await until(lambda: house.said(StateChanged)[-1].state == "ok")
        assert (await house.ask("GET", "/tasks", headers=token)).status == 200
        assert (await ready(house))[0] == 200


MISDEEDS: dict[str, tuple[Misdeed, str]] = {
    "huge": (huge, "more than"),
    "garbage": (garbage, "something else than the JSON"),
    "failing": (failing, "it answers 500"),
    "elsewhere": (elsewhere, "it redirects"),
    "zipped": (zipped, "encoding"),
    "never": (never, "no answer within"),
}


@pytest.mark.parametrize(("misdeed", "why"), MISDEEDS.values(), ids=MISDEEDS.keys())
async def test_whatever_the_issuer_answers_the_old_keys_stay(
    trusting: House,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    *,
    misdeed: Misdeed,
    why: str,
) -> None:
    """An answer that cannot be used is an outage, and `/ready` says what it was."""
    monkeypatch.setattr(fetching, "SECONDS", 0.2)
    monkeypatch.setattr(provider, "COOL_DOWN", 0.05)
    assert (await asked(trusting, publisher)).status == 200
    publisher.misdeed = misdeed
    publisher.add()

    assert (await asked(trusting, publisher)).status == 503

    (part,) = [p for p in trusting.keyring.health() if p.name == "keys"]
    assert (part.state, why in part.detail) == ("degraded", True), part.detail


async def test_the_issuer_must_call_itself_as_we_do(
    trusting: House, publisher: Publisher, impatient: None
) -> None:
    """Else one provider could speak for another (RFC 8414, 3.3); the log says what to write."""
    publisher.name = "https://other.example"
    trusting.keyring.hold([])
    trusting.context.verifier = Verifier(trusting.config.jwt, keyring=trusting.keyring)

    assert (await asked(trusting, publisher)).status == 503
    assert "it calls itself https://other.example: jwt.authority" in _detail(trusting)


def _detail(house: House) -> str:
    return " ".join(part.detail for part in house.keyring.health())


async def test_a_slash_at_the_end_is_the_issuers_own_business(
    trusting: House, publisher: Publisher, impatient: None
) -> None:
    """Auth0 has one, and nobody remembers it; a token must say it exactly all the same."""
    publisher.name = f"{publisher.url}/"
    trusting.keyring.hold([])
    trusting.context.verifier = Verifier(trusting.config.jwt, keyring=trusting.keyring)

    assert (await asked(trusting, publisher, iss=publisher.name)).status == 200
    assert (await asked(trusting, publisher, iss=publisher.url)).status == 401
