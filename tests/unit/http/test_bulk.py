"""POST /tasks/bulk/...: counted first, done in pieces, audited, and never by a slip."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from taskhub.audit import AuditQuery
from taskhub.http import bulk
from taskhub.kernel.mailbox import MailboxFull
from taskhub.messages import Put
from taskhub.model import Owner, Status
from taskhub.obs.telemetry import ActAudited
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import House, Reply, bearer

OPERATOR = bearer(sub="olga", scope=None, roles=["Operator"])


async def act(house: House, verb: str, headers: dict[str, str] | None = None, **body: Any) -> Reply:
    """Ask for it, as an operator."""
    whole = OPERATOR | {"X-Request-Id": "r1"} | (headers or {})
    return await house.ask("POST", f"/tasks/bulk/{verb}", json=body, headers=whole)


async def fail(house: House, count: int) -> list[str]:
    """So many tasks that have failed, oldest first."""
    made = [(await house.create(title=f"task {n}"))["id"] for n in range(count)]
    claim = Claim(owner=Owner("h/u/n"), limit=count, lease=15.0, types=("simulate",))
    (claimed,) = await house.put(claim)
    assert isinstance(claimed, Claimed)
    ends = [
        Finish(id=lease.item.id, fence=lease.fence, status=Status.FAILED, error="timeout")
        for lease in claimed.leases
    ]
    await house.put(*ends)
    return made


async def audited(house: House) -> list[tuple[str, str, str | None, str | None]]:
    """The audit log, oldest first: what, who, from where, by which request."""
    page = await house.store.audit(AuditQuery())
    return [(e.message, e.actor, e.address, e.request_id) for e in reversed(page.items)]


async def test_a_dry_run_counts_and_changes_nothing(house: House) -> None:
    """The count, a few of the tasks, and no mark in the audit log."""
    ids = await fail(house, 7)
    await house.create(title="waits")

    reply = await act(house, "retry", q="error:~TIME", dryRun=True, limit=1)

    assert reply.status == 200
    told = reply.json
    assert {name: told[name] for name in ("matched", "changed", "skipped", "next")} == {
        "matched": 7,
        "changed": 0,
        "skipped": 0,
        "next": None,
    }
    assert [sample["id"] for sample in told["sample"]] == ids[:1:-1]
    assert set(told["sample"][0]) == {"id", "title", "type", "queue", "status", "createdAt"}
    assert await audited(house) == []


async def test_an_act_changes_all_that_match_and_is_audited_once(house: House) -> None:
    """Who, from where, by which request, which search, how many; in the log of the process too."""
    await fail(house, 3)
    waiting = await house.create(title="waits")

    reply = await act(house, "retry", q="error:timeout -title:2")

    assert reply.json == {"matched": 2, "changed": 2, "skipped": 0, "next": None, "sample": []}
    line = "bulk retry: 2 changed, 0 skipped: error:timeout -2"
    assert await audited(house) == [(line, "olga", "127.0.0.1", "r1")]
    assert [told.act for told in house.said(ActAudited)] == [line]
    items = (await house.ask("GET", "/tasks")).json["items"]
    assert [item["status"] for item in items] == ["Pending", "Failed", "Pending", "Pending"]
    assert items[0]["id"] == waiting["id"]


async def test_each_act_leaves_alone_what_does_not_allow_it(house: House) -> None:
    """A search matches only what the act can change: no surprises, nothing to skip."""
    await fail(house, 2)
    await house.create(title="waits")

    counts = {
        verb: (await act(house, verb, all=True, dryRun=True)).json["matched"]
        for verb in ("cancel", "retry", "delete")
    }
    deleted = await act(house, "delete", all=True)

    assert counts == {"cancel": 1, "retry": 2, "delete": 2}
    assert deleted.json["changed"] == 2
    assert [i["title"] for i in (await house.ask("GET", "/tasks")).json["items"]] == ["waits"]


async def test_a_limit_is_kept_and_the_cursor_goes_on(house: House) -> None:
    """So that a client can do a million in bounded requests, each task at most once."""
    for _ in range(5):
        await house.create()

    first = (await act(house, "cancel", all=True, limit=2)).json
    second = (await act(house, "cancel", all=True, limit=2, cursor=first["next"])).json
    third = (await act(house, "cancel", all=True, limit=2, cursor=second["next"])).json

    assert [told["changed"] for told in (first, second, third)] == [2, 2, 1]
    assert third["next"] is None


async def test_a_long_act_is_done_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write between them; its beginning and its end are audited."""
    monkeypatch.setattr(bulk, "PIECE", 2)
    for _ in range(5):
        await house.create()

    reply = await act(house, "cancel", q="task")

    assert (reply.json["matched"], reply.json["changed"]) == (5, 5)
    assert [entry[0] for entry in await audited(house)] == [
        "bulk cancel begins: task",
        "bulk cancel: 5 changed, 0 skipped: task",
    ]
    assert len(house.said(ActAudited)) == 1


async def test_a_retry_goes_from_the_oldest_to_the_newest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is after others waits for them again, in whatever piece they are."""
    monkeypatch.setattr(bulk, "PIECE", 2)
    chain = {"title": "head", "then": [{"title": f"step {n}"} for n in range(4)]}
    made = (await house.ask("POST", "/tasks", json=chain)).json
    await house.ask("POST", f"/tasks/{made['id']}/cancel")

    reply = await act(house, "retry", all=True)

    assert (reply.json["changed"], reply.json["next"]) == (5, None)
    for before, task in zip([made["id"], *made["then"]], made["then"], strict=False):
        why = (await house.ask("GET", f"/tasks/{task}/why")).json["reasons"]
        assert f"It waits for 1 task to end: {before}." in [reason["text"] for reason in why]
    assert [entry[0] for entry in await audited(house)][-2:] == [
        "bulk retry begins: all",
        "bulk retry: 5 changed, 0 skipped: all",
    ]


async def test_a_retry_that_trouble_ends_leads_to_the_rest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were not reached are the newest."""
    monkeypatch.setattr(bulk, "PIECE", 2)
    await fail(house, 3)
    sent_to, left = Put.sent_to, [1]

    def full(put: Put, box: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise MailboxFull("store")
        return sent_to(put, box)

    monkeypatch.setattr(Put, "sent_to", full)
    part = (await act(house, "retry", all=True)).json
    monkeypatch.undo()
    rest = (await act(house, "retry", all=True, cursor=part["next"])).json

    assert (part["changed"], rest["changed"], rest["next"]) == (2, 1, None)


async def test_trouble_after_the_first_piece_ends_with_what_was_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is a report, and its cursor leads to the rest; before that it is an error."""
    monkeypatch.setattr(bulk, "PIECE", 2)
    for _ in range(5):
        await house.create()
    sent_to, left = Put.sent_to, [1]

    def full(put: Put, box: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise MailboxFull("store")
        return sent_to(put, box)

    monkeypatch.setattr(Put, "sent_to", full)
    part = (await act(house, "cancel", all=True)).json
    refused = await act(house, "cancel", all=True, cursor=part["next"])
    monkeypatch.undo()
    rest = (await act(house, "cancel", all=True, cursor=part["next"])).json

    assert (part["changed"], rest["changed"]) == (2, 3)
    assert refused.status == 503


async def test_an_act_that_takes_long_ends_in_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least one piece is done, and the cursor tells where the next request goes on."""
    monkeypatch.setattr(bulk, "PIECE", 2)
    monkeypatch.setattr(bulk, "SECONDS", 0.0)
    for _ in range(3):
        await house.create()

    told = (await act(house, "cancel", all=True)).json

    assert told["changed"] == 2
    assert told["next"] is not None


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({}, "/q", "send all: true"),
        ({"q": " "}, "/q", "send all: true"),
        ({"q": "a", "all": True}, "/all", "without a search"),
        ({"q": "statuss:x"}, "/q", "column 1: expected the name of a field: did you mean status?"),
        ({"q": 1}, "/q", "a search of at most"),
        ({"all": "yes"}, "/all", "true or false"),
        ({"q": "a", "limit": 10_001}, "/limit", "1 to 10000"),
        ({"q": "a", "cursor": "x"}, "/cursor", "the `next` of"),
        ({"q": "a", "sudo": True}, "/sudo", "no member of this name"),
    ],
)
@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
async def test_a_wrong_wish_changes_nothing(
    house: House, verb: str, body: dict[str, Any], pointer: str, said: str
) -> None:
    """An empty search above all: it would mean everything."""
    made = await house.create()

    reply = await act(house, verb, **body)

    assert reply.status == 422
    (error,) = reply.json["errors"]
    assert error["pointer"] == pointer
    assert said in error["detail"]
    assert (await house.ask("GET", f"/tasks/{made['id']}")).json["status"] == "Pending"


async def test_only_operators_act_on_many(house: House) -> None:
    """Not even on what they have made themselves."""
    await house.create()

    for verb in ("cancel", "retry", "delete"):
        reply = await act(house, verb, headers=bearer(sub="alice"), q="createdBy:alice")
        assert reply.status == 403


async def test_acts_beside_each_other_change_each_task_once(house: House) -> None:
    """Two operators with the same idea."""
    for _ in range(6):
        await house.create()

    replies = await asyncio.gather(*(act(house, "cancel", all=True) for _ in range(4)))

    assert sum(reply.json["changed"] for reply in replies) == 6


async def test_what_runs_is_asked_to_stop_once(house: House) -> None:
    """And its worker hears of it at once, for the bell rings."""
    await house.create()
    await house.put(Claim(owner=Owner("h/u/n"), limit=1, lease=15.0, types=("simulate",)))

    first = (await act(house, "cancel", all=True)).json
    again = (await act(house, "cancel", all=True)).json

    assert (first["changed"], first["skipped"]) == (1, 0)
    assert (again["changed"], again["skipped"]) == (0, 1)
