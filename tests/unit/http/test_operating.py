"""Cancel, retry, actors: who may, what they answer, what the audit log keeps."""

from __future__ import annotations

import sqlite3

import pytest
from taskhub.model import Owner, Status
from taskhub.obs.telemetry import ActAudited
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import House, bearer

UNKNOWN = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"
OPERATOR = bearer(sub="olga", scope=None, roles=["Operator"])


async def claimed(house: House) -> Claimed:
    """A worker takes what is there."""
    (found,) = await house.put(
        Claim(owner=Owner("h/u/n"), limit=1, lease=15.0, types=("simulate",))
    )
    assert isinstance(found, Claimed)
    return found


async def failed(house: House) -> str:
    """The id of a task that has failed."""
    made = await house.create()
    (lease,) = (await claimed(house)).leases
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=Status.FAILED, error="no"))
    return str(made["id"])


def audited(house: House) -> list[tuple[str, str, str]]:
    """The audit log of the database."""
    with sqlite3.connect(house.store._path) as db:
        rows = db.execute("SELECT Message, Actor, TaskId FROM Audit ORDER BY At").fetchall()
    db.close()
    return rows


async def test_a_creator_cancels_what_waits(house: House) -> None:
    """At once, and for good; and the log says who it was."""
    made = await house.create()

    reply = await house.ask("POST", f"/tasks/{made['id']}/cancel", headers={"X-Request-Id": "r1"})

    assert (reply.status, reply.json["status"]) == (200, "Cancelled")
    assert audited(house) == [("cancel", "alice", made["id"])]
    (told,) = house.said(ActAudited)
    assert (told.subject, told.act, told.task_id) == ("alice", "cancel", made["id"])
    assert (told.address, told.request_id) == ("127.0.0.1", "r1")


async def test_a_running_task_is_asked_to_stop(house: House) -> None:
    """202: it will end as Cancelled; asking again changes nothing."""
    made = await house.create()
    await claimed(house)

    first = await house.ask("POST", f"/tasks/{made['id']}/cancel")
    again = await house.ask("POST", f"/tasks/{made['id']}/cancel")

    assert (first.status, first.json["cancelRequested"]) == (202, True)
    assert (again.status, again.json["status"]) == (202, "Processing")


async def test_an_ended_task_cannot_be_cancelled(house: House) -> None:
    """409, and no mark in the audit log for what was not done."""
    id_ = await failed(house)

    reply = await house.ask("POST", f"/tasks/{id_}/cancel")

    assert (reply.status, reply.json["type"]) == (409, "urn:taskhub:problem:conflict")
    assert audited(house) == []


@pytest.mark.parametrize("role", ["Admin", "Operator"])
async def test_operators_cancel_anything(house: House, role: str) -> None:
    """Also what others have made, and without a scope."""
    made = await house.create()

    reply = await house.ask(
        "POST", f"/tasks/{made['id']}/cancel", headers=bearer(sub="olga", scope=None, role=role)
    )

    assert reply.status == 200


async def test_strangers_cancel_nothing(house: House) -> None:
    """The scope alone is not enough: the task is somebody else's. Nor is having no name."""
    made = await house.create()
    nameless = await house.ask(
        "POST", "/tasks", json={"title": "x"}, headers=bearer(sub=None, scope="tasks.write")
    )

    for id_, who in ((made["id"], bearer(sub="bob")), (nameless.json["id"], bearer(sub=None))):
        reply = await house.ask("POST", f"/tasks/{id_}/cancel", headers=who)
        assert reply.status == 403
        assert "the role Admin or Operator" in reply.json["detail"]


async def test_who_lacks_a_role_is_told_which(house: House) -> None:
    """A scope would not help, and the challenge of a bearer token has no word for roles."""
    reply = await house.ask("POST", f"/tasks/{UNKNOWN}/retry", headers=bearer(sub="bob"))

    assert reply.status == 403
    assert "the role Admin or Operator" in reply.json["detail"]
    assert "scope=" not in reply.headers["WWW-Authenticate"]


async def test_an_operator_lets_a_task_begin_anew(house: House) -> None:
    """With all its attempts; and the log says who it was."""
    id_ = await failed(house)

    reply = await house.ask("POST", f"/tasks/{id_}/retry", headers=OPERATOR)

    assert (reply.status, reply.json["status"], reply.json["attempts"]) == (200, "Pending", 0)
    assert audited(house) == [("retry", "olga", id_)]
    assert [told.act for told in house.said(ActAudited)] == ["retry"]


async def test_only_what_has_ended_badly_is_retried(house: House) -> None:
    """Pending and Done are 409; what is not there is 404."""
    made = await house.create()

    waiting = await house.ask("POST", f"/tasks/{made['id']}/retry", headers=OPERATOR)
    missing = await house.ask("POST", f"/tasks/{UNKNOWN}/retry", headers=OPERATOR)

    assert (waiting.status, missing.status) == (409, 404)


@pytest.mark.parametrize("act", ["cancel", "retry"])
async def test_acts_on_nothing_are_404(house: House, act: str) -> None:
    """Well-formed ids and others."""
    for id_ in (UNKNOWN, "x"):
        reply = await house.ask("POST", f"/tasks/{id_}/{act}", headers=OPERATOR)
        assert reply.status == 404


async def test_operators_see_the_actors(house: House) -> None:
    """The whole tree, a row each."""
    reply = await house.ask("GET", "/actors", headers=OPERATOR)

    (row,) = reply.json["items"]
    assert row["name"] == "api-1/store"
    assert (row["state"], row["restarts"], row["mailboxLimit"]) == ("ready", 0, 64)
