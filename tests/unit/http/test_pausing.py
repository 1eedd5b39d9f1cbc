"""Queues and types over HTTP: paused, resumed, drained; and why a task waits."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from taskhub.model import Owner, Status, TypeInfo
from taskhub.obs.telemetry import ActAudited
from taskhub.ports import Claim, Claimed, Finish, Register

from tests.unit.http.house import House, bearer
from tests.waiting import until

UNKNOWN = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"
OPERATOR = bearer(sub="olga", scope=None, roles=["Operator"])


async def claimed(house: House) -> Claimed:
    """A worker takes what there is."""
    wish = Claim(owner=Owner("h/worker-1/n"), limit=9, lease=15.0, types=("simulate",))
    (found,) = await house.put(wish)
    assert isinstance(found, Claimed)
    return found


def audited(house: House) -> list[tuple[str, str]]:
    """The audit log of the database."""
    with sqlite3.connect(house.store._path) as db:
        rows = db.execute("SELECT Message, Actor FROM Audit ORDER BY Id").fetchall()
    db.close()
    return rows


async def known(house: House) -> None:
    """A worker has registered its type."""
    await house.put(Register(types=[TypeInfo("simulate")]))


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [("/queues/default", "queue", "default"), ("/types/simulate", "type", "simulate")],
)
async def test_an_operator_pauses_and_resumes(
    house: House, path: str, line: str, name: str
) -> None:
    """Nothing begins from then on; the log says who it was, once for each change."""
    await known(house)
    made = await house.create()

    first = await house.ask("POST", f"{path}/pause", headers=OPERATOR)
    again = await house.ask("POST", f"{path}/pause", headers=OPERATOR)

    assert (first.status, again.status) == (200, 200)
    assert first.json == {"name": name, "paused": True, "processing": 0}
    assert not (await claimed(house)).leases
    (reason,) = (await house.ask("GET", f"/tasks/{made['id']}/why")).json["reasons"]
    assert (reason["cause"], reason["text"]) == (
        f"{line}Paused",
        f"The {line} {name} is paused.",
    )

    resumed = await house.ask("POST", f"{path}/resume", headers=OPERATOR)

    assert resumed.json["paused"] is False
    assert len((await claimed(house)).leases) == 1
    assert audited(house) == [(f"pause {line} {name}", "olga"), (f"resume {line} {name}", "olga")]
    assert [told.act for told in house.said(ActAudited)] == [act for act, _ in audited(house)]


async def test_a_drain_answers_when_nothing_runs(house: House) -> None:
    """202 while something does; with `wait` as soon as the last one has ended."""
    await known(house)
    await house.create()
    (lease,) = (await claimed(house)).leases

    at_once = await house.ask("POST", "/queues/default/drain", headers=OPERATOR)
    waiting = asyncio.create_task(
        house.ask("POST", "/types/simulate/drain?wait=30", headers=OPERATOR)
    )
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE))

    assert (at_once.status, at_once.json["processing"], at_once.json["paused"]) == (202, 1, True)
    async with asyncio.timeout(10):
        drained = await waiting
    assert (drained.status, drained.json["processing"]) == (200, 0)
    assert audited(house) == [("drain queue default", "olga"), ("drain type simulate", "olga")]


async def test_a_drain_ends_when_somebody_resumes(house: House) -> None:
    """Nobody waits for what goes on for ever."""
    await house.create()
    await claimed(house)

    waiting = asyncio.create_task(
        house.ask("POST", "/queues/default/drain?wait=30", headers=OPERATOR)
    )
    await until(lambda: bool(audited(house)))
    await house.ask("POST", "/queues/default/resume", headers=OPERATOR)

    async with asyncio.timeout(10):
        reply = await waiting
    assert (reply.status, reply.json["paused"]) == (202, False)


async def test_queues_are_listed(house: House) -> None:
    """With what waits and what runs."""
    await house.create(queue="images")
    await house.ask("POST", "/queues/later/pause", headers=OPERATOR)

    items = (await house.ask("GET", "/queues", headers=OPERATOR)).json["items"]

    assert [item.pop("oldestSeconds") >= 0 for item in items] == [True, True]
    assert items == [
        {"name": "images", "paused": False, "pending": 1, "processing": 0},
        {"name": "later", "paused": True, "pending": 0, "processing": 0},
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/types/rezise/pause", 404),
        ("/types/rezise/drain", 404),
        ("/queues/-odd/pause", 404),
        ("/queues/%C3%A9/pause", 404),
        ("/queues/default/drain?wait=61", 400),
        ("/queues/default/pause?wait=1", 400),
        ("/queues/default/stop", 404),
    ],
)
async def test_slips_change_nothing(house: House, path: str, status: int) -> None:
    """What does not exist is named, and nothing is in the audit log."""
    reply = await house.ask("POST", path, headers=OPERATOR)

    assert reply.status == status
    assert audited(house) == []


async def test_why_is_answered_for_what_runs_and_what_has_ended(house: House) -> None:
    """By whom it is held, and that it is over."""
    await known(house)
    made = await house.create()
    path = f"/tasks/{made['id']}/why"

    waits = (await house.ask("GET", path)).json
    (lease,) = (await claimed(house)).leases
    runs = (await house.ask("GET", path)).json
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE))
    ended = (await house.ask("GET", path)).json

    assert (waits["status"], waits["reasons"][0]["position"]) == ("Pending", 1)
    assert (runs["status"], runs["reasons"][0]["holder"]) == ("Processing", "worker-1")
    assert [reason["cause"] for reason in ended["reasons"]] == ["ended"]
    assert (await house.ask("GET", f"/tasks/{UNKNOWN}/why")).status == 404
