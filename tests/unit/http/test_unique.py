"""`unique`: who asks for a task that there is gets it; what is the same, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.http.catalog import Catalog
from taskhub.model import DEFAULTS_KEY, Owner, Status, TypeInfo
from taskhub.obs.telemetry import TaskCreated, TaskExisting
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import CONFIG, House, Reply, bearer, open_house
from tests.waiting import until

ONE = {"key": "order-7"}
MARK = "Task-Existing"


async def post(house: House, unique: Any = ONE, headers: Any = None, **members: Any) -> Reply:
    """A new task that is unique in some way."""
    body = {"title": "x", "unique": unique} | members
    return await house.ask("POST", "/tasks", json=body, headers=headers)


async def same(house: House, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the second task is the first."""
    first, second = await post(house, **one), await post(house, **other)
    assert first.status == 201, first.body
    assert second.status in {200, 201}, second.body
    return second.status == 200


async def end(house: House) -> None:
    """Claim the due tasks and finish them, as a worker would."""
    claim = Claim(owner=Owner("h/u/n"), limit=9, lease=15.0, types=("simulate", "resize"))
    (claimed,) = await house.put(claim)
    assert isinstance(claimed, Claimed)
    for lease in claimed.leases:
        await house.put(Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE))


async def test_a_second_task_with_the_key_is_the_first_and_says_so(house: House) -> None:
    """200 with the task as it is now, where it is, and a mark; nothing is stored or told."""
    first = await post(house, payload={"n": 1})
    second = await post(house, title="y", payload={"n": 2}, queue="other")

    assert (first.status, second.status) == (201, 200)
    assert second.json == first.json
    assert (second.headers[MARK], second.headers["Location"]) == ("true", first.headers["Location"])
    assert MARK not in first.headers
    assert len((await house.ask("GET", "/tasks")).json["items"]) == 1
    assert len(house.said(TaskCreated)) == 1
    (told,) = house.said(TaskExisting)
    assert (told.task_id, told.type) == (first.json["id"], "simulate")


async def test_racers_make_one_row(house: House) -> None:
    """One is made, the others are told of it."""
    replies = await asyncio.gather(*(post(house) for _ in range(60)))

    statuses = [reply.status for reply in replies]
    assert (statuses.count(201), statuses.count(200)) == (1, 59)
    assert len({reply.json["id"] for reply in replies}) == 1


async def test_the_key_is_free_when_the_task_has_ended(house: House) -> None:
    """By default; where Done is one of the states, once is enough."""
    once = {"key": "once", "states": ["Pending", "Processing", "Done"]}
    firsts = [await post(house), await post(house, once)]
    await end(house)

    again, never = await post(house), await post(house, once)

    assert (again.status, never.status) == (201, 200)
    assert again.json["id"] != firsts[0].json["id"]
    assert (never.json["id"], never.json["status"]) == (firsts[1].json["id"], "Done")


async def test_the_window_is_counted_from_the_creation(house: House) -> None:
    """Where the task waits for longer than that, a second one is made."""
    brief = {"key": "k", "seconds": 0.001}
    first = await post(house, brief, delaySeconds=3_600)
    while (second := await post(house, brief, delaySeconds=3_600)).status == 200:
        assert second.json["id"] == first.json["id"]

    assert second.status == 201
    while (third := await post(house, {"key": "k"})).status == 200:
        assert third.json["id"] == second.json["id"]

    assert third.status == 201


A, B = {"a": 1, "b": {"c": [1, 2], "d": None}}, {"b": {"d": None, "c": [1, 2]}, "a": 1}
SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"unique": {}, "payload": A}, {"unique": {}, "payload": B}),
    ({"unique": {}}, {"unique": {}, "payload": {}}),
    ({"unique": {}, "payload": [1, "x"]}, {"unique": {}, "payload": [1, "x"]}),
    ({"unique": {"by": ["a"]}, "payload": A}, {"unique": {"by": ["a"]}, "payload": {"a": 1}}),
    (
        {"unique": {"by": ["a", "b"]}, "payload": A},
        {"unique": {"by": ["b", "a"]}, "payload": B | {"z": 1}},
    ),
]
OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"unique": {}, "payload": A}, {"unique": {}, "payload": A | {"a": 2}}),
    ({"unique": {}, "payload": [1, 2]}, {"unique": {}, "payload": [2, 1]}),
    ({"unique": {}, "payload": {"a": 1}}, {"unique": {}, "payload": {"a": "1"}}),
    ({"unique": {}, "payload": {"a": None}}, {"unique": {}, "payload": {}}),
    ({"unique": {"by": ["a"]}, "payload": A}, {"unique": {"by": ["a"]}, "payload": {"a": 2}}),
    ({"unique": {"by": ["a"]}, "payload": A}, {"unique": {}, "payload": {"a": 1}}),
    ({"unique": {"key": "k"}}, {"unique": {"key": "K"}}),
    ({"unique": {"key": "k"}}, {"unique": {"key": "k"}, "type": "resize", "payload": {"url": ""}}),
    ({"unique": {"key": "k"}}, {"unique": None}),
    ({"unique": {"key": "by:44"}}, {"unique": {"key": "key:by:44"}}),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=lambda value: ascii(value)[:60])
async def test_what_is_the_same(house: House, one: dict[str, Any], other: dict[str, Any]) -> None:
    """The value counts, not how it is written."""
    assert await same(house, one, other)


@pytest.mark.parametrize(("one", "other"), OTHER, ids=lambda value: ascii(value)[:60])
async def test_what_is_another(house: House, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Whatever differs in what was named."""
    assert not await same(house, one, other)


# ---- what a type says


def typed(house: House, **unique: Any) -> None:
    """Make the type `sync` known, whose tasks are unique by themselves."""
    schema = {"type": "object", DEFAULTS_KEY: {"queue": "q", "unique": unique}}
    house.context.types = Catalog(house.store.types, [TypeInfo("sync", schema)])


async def sync(house: House, **members: Any) -> int:
    """The status of a new task of this type."""
    body = {"title": "x", "type": "sync"} | members
    return (await house.ask("POST", "/tasks", json=body)).status


async def test_a_type_may_say_that_its_tasks_are_unique(house: House) -> None:
    """Its handler knows best; a client may still say otherwise."""
    typed(house, by=["customer"])

    assert await sync(house, payload={"customer": 1}) == 201
    assert await sync(house, payload={"customer": 1, "more": 2}) == 200
    assert await sync(house, payload={"customer": 2}) == 201
    assert await sync(house, payload={"customer": 1}, unique=None) == 201
    assert await sync(house, payload={"customer": 1}, unique={"key": "mine"}) == 201


async def test_members_that_a_payload_does_not_have_are_the_same_to_a_type(house: House) -> None:
    """They may have defaults: a client who leaves them out is not refused for it."""
    typed(house, by=["customer", "region"])

    assert await sync(house, payload={"customer": 1}) == 201
    assert await sync(house, payload={"customer": 1}) == 200
    assert await sync(house, payload={"customer": 1, "region": None}) == 201


# ---- who may see it


async def test_who_may_not_read_the_task_is_told_that_there_is_one_and_no_more(
    house: House,
) -> None:
    """Keys are guessed easily: they open no task to who has not the right to read it."""
    first = await post(house, payload={"secret": 1})

    other = await post(house, headers=bearer(sub="bob", scope="tasks.write"))
    reader = await post(house, headers=bearer(sub="carol"))

    assert (other.status, other.json["type"]) == (409, "urn:taskhub:problem:exists")
    assert other.headers["Location"] == first.headers["Location"]
    assert b"secret" not in other.body
    assert (reader.status, reader.json) == (200, first.json)


async def test_a_refusal_is_kept_under_no_key(house: House) -> None:
    """With the right, or when the task has ended, the same request may come again."""
    key = {"Idempotency-Key": "k"}
    await post(house)
    writer = bearer(scope="tasks.write")

    refused = await post(house, headers=writer | key)
    allowed = await post(house, headers=key)

    assert (refused.status, allowed.status) == (409, 200)


# ---- together with other promises


async def test_the_answer_is_kept_under_an_idempotency_key(house: House) -> None:
    """200 like 201, byte for byte, whatever has become of the task since."""
    key = {"Idempotency-Key": "k"}
    await post(house)
    first = await post(house, headers=key)
    await end(house)

    again = await post(house, headers=key)

    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert (again.headers["Idempotency-Replayed"], again.headers[MARK]) == ("true", "true")


async def test_who_would_rather_wait_waits_for_the_task_that_there_is(house: House) -> None:
    """Ten clients ask for one report, and all of them get it."""
    first = await post(house)
    waiting = asyncio.ensure_future(post(house, headers={"Prefer": "wait=60"}))
    await until(lambda: bool(house.said(TaskExisting)))
    await end(house)
    house.context.waiters.rang(frozenset({"ended"}))

    reply = await waiting

    assert (reply.status, reply.json["id"]) == (200, first.json["id"])
    assert (reply.json["status"], reply.headers["Preference-Applied"]) == ("Done", "wait=60")
    assert reply.headers[MARK] == "true"


async def test_equal_tasks_of_a_batch_are_one(house: House) -> None:
    """Each item says whether it was made or was there; who has no right to read sees ids alone."""
    there = await post(house)
    tasks = [{"title": "x", "unique": {"key": key}} for key in ("order-7", "b", "b", "c")]

    reply = await house.ask(
        "POST", "/tasks/batch", json={"tasks": tasks}, headers=bearer(scope="tasks.write")
    )
    again = await house.ask("POST", "/tasks/batch", json={"tasks": tasks})

    items = reply.json["items"]
    assert (reply.status, reply.json["created"], reply.json["existing"]) == (201, 2, 2)
    assert [item["status"] for item in items] == [200, 201, 200, 201]
    assert (items[0]["id"], items[1]["id"]) == (there.json["id"], items[2]["id"])
    assert (again.status, again.json["created"], again.json["existing"]) == (200, 0, 4)
    assert len((await house.ask("GET", "/tasks")).json["items"]) == 3
    assert len(house.said(TaskExisting)) == 2 + 4


async def test_a_wrong_unique_of_a_batch_is_named_in_its_place(house: House) -> None:
    """Like every other member."""
    tasks = [{"title": "x"}, {"title": "x", "unique": {"by": ["a"], "seconds": -1}}]
    tasks += [{"title": "x", "unique": {"by": ["a"]}}]

    reply = await house.ask("POST", "/tasks/batch", json={"tasks": tasks})

    assert [error["pointer"] for error in reply.json["errors"]] == [
        "/tasks/1/unique/seconds",
        "/tasks/2/unique/by/0",
    ]


async def test_a_browser_may_read_the_mark(tmp_path: Path, empty_database: Path) -> None:
    """A page has no other way to tell the second from the first than the status."""
    app = "https://app.example.com"
    config = msgspec.structs.replace(CONFIG, cors=CONFIG.cors.__class__(origins=(app,)))
    async with open_house(tmp_path, empty_database, config) as house:
        await post(house)
        reply = await post(house, headers={"Origin": app})

    assert MARK in reply.headers["Access-Control-Expose-Headers"].split(",")
