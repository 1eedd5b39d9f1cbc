"""`GET /audit` and what acts leave there."""

from __future__ import annotations

import pytest
from taskhub.audit import Audit
from taskhub.obs.telemetry import ActAudited

from tests.unit.http.house import House, bearer

OPERATOR = bearer(sub="olga", scope=None, roles=["Operator"])
ADMIN = bearer(sub="ada", scope=None, roles=["Admin"])


async def test_an_act_is_found_with_who_what_and_from_where(house: House) -> None:
    """And nothing that the token said beside its subject."""
    made = await house.create()
    await house.ask("POST", f"/tasks/{made['id']}/cancel", headers={"X-Request-Id": "r1"})

    reply = await house.ask("GET", "/audit", headers=OPERATOR)

    (entry,) = reply.json["items"]
    assert entry["at"].endswith("Z")
    assert (entry["message"], entry["actor"], entry["taskId"]) == ("cancel", "alice", made["id"])
    assert (entry["address"], entry["requestId"]) == ("127.0.0.1", "r1")
    assert reply.json["next"] is None
    assert reply.headers["Cache-Control"] == "no-store"


async def test_pages_lead_on(house: House) -> None:
    """By the cursor alone; filters are given again."""
    await house.put(*(Audit(message=f"act {number}", actor="ä b") for number in range(5)))

    found: list[str] = []
    query = {"limit": "2", "actor": "ä b"}
    while True:
        reply = await house.ask("GET", "/audit", params=query, headers=ADMIN)
        found += [entry["message"] for entry in reply.json["items"]]
        if reply.json["next"] is None:
            break
        query["cursor"] = reply.json["next"]

    assert found == [f"act {number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("cursor=x", "/cursor"),
        ("cursor=1", "/cursor"),
        ("cursor=-1-1", "/cursor"),
        (f"cursor={'9' * 30}-1", "/cursor"),
        ("since=yesterday", "/since"),
        ("before=2030-01-31T08:00:00", "/before"),
        ("taskId=5", "/taskId"),
        ("actor=", "/actor"),
        ("actor=a%00b", "/actor"),
        (f"text={'x' * 256}", "/text"),
        ("actor=a&actor=b", "/actor"),
        ("acter=a", ""),
    ],
)
async def test_what_is_not_understood_is_named(house: House, query: str, pointer: str) -> None:
    """Never a page that looks right and is not."""
    reply = await house.ask("GET", f"/audit?{query}", headers=OPERATOR)

    assert reply.status == 400
    assert [error["pointer"] for error in reply.json["errors"]] == [pointer]


async def test_an_actor_is_restarted(house: House) -> None:
    """202: it is asked for, and the audit log says by whom; slashes may be escaped or not."""
    for name in ("api-1%2Fstore", "api-1/store"):
        reply = await house.ask("POST", f"/actors/{name}/restart", headers=ADMIN)
        assert (reply.status, reply.json) == (202, {"name": "api-1/store"})

    assert house.restarts.asked == ["api-1/store"] * 2
    entries = (await house.ask("GET", "/audit", headers=OPERATOR)).json["items"]
    assert [(entry["message"], entry["actor"]) for entry in entries] == [
        ("restart api-1/store", "ada")
    ] * 2
    assert {told.act for told in house.said(ActAudited)} == {"restart api-1/store"}


async def test_a_restart_of_nobody_is_404_and_leaves_no_mark(house: House) -> None:
    """Short names, patterns, and what would be a path elsewhere."""
    for name in ("store", "api-1/*", "..%2Fstore", "%00", "a" * 1000):
        reply = await house.ask("POST", f"/actors/{name}/restart", headers=ADMIN)
        assert reply.status == 404, name

    assert house.restarts.asked == []
    assert (await house.ask("GET", "/audit", headers=OPERATOR)).json["items"] == []


async def test_a_restart_that_cannot_be_says_why(house: House) -> None:
    """409 for what is being stopped; 503 where the process does not answer."""
    for verdict, status in (("leaving", 409), ("away", 503), ("unknown", 404)):
        house.restarts.verdict = verdict  # type: ignore[assignment]  # a loop over literals
        reply = await house.ask("POST", "/actors/api-1%2Fstore/restart", headers=ADMIN)
        assert reply.status == status
        assert ("Retry-After" in reply.headers) == (status == 503)


async def test_operators_restart_nothing(house: House) -> None:
    """They may look."""
    reply = await house.ask("POST", "/actors/api-1%2Fstore/restart", headers=OPERATOR)

    assert reply.status == 403
    assert "the role Admin." in reply.json["detail"]
    assert house.restarts.asked == []
