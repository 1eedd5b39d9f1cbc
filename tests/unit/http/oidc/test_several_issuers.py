"""An API with several issuers, and issuers that a reload changes: each speaks for its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.config.sections import Config, IssuerSection, JwtSection, Secret
from taskhub.http.auth import Verifier
from taskhub.http.issuer import SUBJECT_LENGTH
from taskhub.obs.telemetry import ActAudited

from tests.unit.http import house as static
from tests.unit.http.house import House, open_house
from tests.unit.http.oidc.publisher import AUDIENCE, Publisher
from tests.unit.http.oidc.test_issuer_on_a_socket import asked, ready


def several(publisher: Publisher) -> JwtSection:
    """A secret of our own, and beside it an issuer that publishes its keys."""
    return JwtSection(
        authority=static.ISSUER,
        audience=AUDIENCE,
        issuer_signing_key=Secret(static.SECRET),
        issuers={
            "partner": IssuerSection(authority=publisher.url, role_claims=("realm_access.roles",))
        },
    )


async def test_the_iss_of_a_token_picks_its_issuer(
    tmp_path: Path, empty_database: Path, publisher: Publisher
) -> None:
    """Each with its own keys and claims; the alice of one is not the alice of the other."""
    config = Config(jwt=several(publisher))
    async with open_house(tmp_path, empty_database, config) as house:
        verifier = house.context.verifier

        theirs = await verifier.find(
            publisher.bearer(realm_access={"roles": ["Operator"]})["Authorization"]
        )
        ours = await verifier.find(static.bearer(roles=["Admin"])["Authorization"])

        assert (theirs.subject, set(theirs.roles)) == ("partner/alice", {"Operator"})
        assert (ours.subject, set(ours.roles)) == ("alice", {"Admin"})
        assert theirs.key != ours.key
        for bad in (
            static.bearer(iss=publisher.url),  # our secret does not sign for them
            publisher.bearer(iss=static.ISSUER),  # nor they for us
            static.bearer(iss="https://nobody.example"),
            static.bearer(sub="partner/alice"),  # nor do we give their names
        ):
            assert (await house.ask("GET", "/tasks", headers=bad)).status == 401


async def test_two_of_one_name_are_not_taken_for_each_other(
    tmp_path: Path, empty_database: Path, publisher: Publisher
) -> None:
    """Neither owns what the other has made, gets its kept answers, or stands for it in the log."""
    theirs, same_key = publisher.bearer(), {"Idempotency-Key": "k"}
    async with open_house(tmp_path, empty_database, Config(jwt=several(publisher))) as house:
        mine = await house.ask("POST", "/tasks", json={"title": "x"}, headers=same_key)
        other = await house.ask("POST", "/tasks", json={"title": "x"}, headers=same_key | theirs)

        assert (mine.json["createdBy"], other.json["createdBy"]) == ("alice", "partner/alice")
        assert mine.json["id"] != other.json["id"]
        ours, foreign = f"/tasks/{mine.json['id']}/cancel", f"/tasks/{other.json['id']}/cancel"
        assert (await house.ask("POST", ours, headers=theirs)).status == 403
        assert (await house.ask("POST", foreign)).status == 403
        assert (await house.ask("POST", foreign, headers=theirs)).status == 200
        assert [event.subject for event in house.said(ActAudited)] == ["partner/alice"]


@pytest.mark.parametrize("room", [0, 1])
async def test_a_subject_counts_with_the_name_of_its_issuer(
    tmp_path: Path, empty_database: Path, publisher: Publisher, room: int
) -> None:
    """What is too long for the database is told, and never cut: cut names could be the same."""
    sub = "s" * (SUBJECT_LENGTH - len("partner/") + 1 - room)
    async with open_house(tmp_path, empty_database, Config(jwt=several(publisher))) as house:
        headers = publisher.bearer(sub=sub) | {"Idempotency-Key": "k"}
        reply = await house.ask("POST", "/tasks", json={"title": "x"}, headers=headers)

    if room:
        assert (reply.status, reply.json["createdBy"]) == (201, f"partner/{sub}")
    else:
        assert (reply.status, "196 characters" in reply.json["detail"]) == (403, True)


async def test_an_issuer_without_keys_makes_the_others_no_worse(
    tmp_path: Path, empty_database: Path, publisher: Publisher
) -> None:
    """Ours works on: 503 is for the tokens of the one that is away."""
    token = publisher.bearer()
    await publisher.stop()
    async with open_house(tmp_path, empty_database, Config(jwt=several(publisher))) as house:
        assert (await house.ask("GET", "/tasks", headers=token)).status == 503
        assert (await house.ask("GET", "/tasks")).status == 200
        status, parts = await ready(house)

    assert (status, parts["keys/partner"]) == (200, "degraded")


async def test_a_reload_keeps_the_keys_of_the_issuers_that_stay(
    trusting: House, publisher: Publisher
) -> None:
    """The audience changes while the issuer is away: its tokens go on; an unknown one goes."""
    assert (await asked(trusting, publisher)).status == 200
    await publisher.stop()
    section = msgspec.structs.replace(trusting.config.jwt, audience="other")

    trusting.context.verifier = Verifier(section, keyring=trusting.keyring)

    assert (await asked(trusting, publisher, aud="other")).status == 200
    assert (await asked(trusting, publisher)).status == 401
    trusting.context.verifier = Verifier(static.CONFIG.jwt, keyring=trusting.keyring)
    assert (await asked(trusting, publisher)).status == 401
    assert trusting.keyring.health() == []
    assert _names(asyncio.all_tasks()) & {"http keys", "http keys/partner"} == {"http keys"}


def _names(tasks: Sequence[asyncio.Task[Any]] | set[asyncio.Task[Any]]) -> set[str]:
    return {task.get_name() for task in tasks if not task.done()}
