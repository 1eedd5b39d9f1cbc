"""Idempotency-Key: the same key and body give the same answer, and nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.config.sections import RetentionSection
from taskhub.errors import StoreFull, StoreLocked
from taskhub.http.catalog import Catalog
from taskhub.kernel.mailbox import ActorFailed, Mailbox
from taskhub.messages import Put
from taskhub.model import Owner, Status
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import CONFIG, TYPES, House, Reply, bearer, open_house

NAME = "8e03978e-40d5-43dd-bc93-6894a57f9324"
KEY = {"Idempotency-Key": f'"{NAME}"'}
REPLAYED = "Idempotency-Replayed"


async def post(house: House, title: str = "x", **headers: str) -> Reply:
    """A new task under the key, unless the headers say another one."""
    return await house.ask("POST", "/tasks", json={"title": title}, headers=KEY | headers)


async def count(house: House) -> int:
    """How many tasks there are."""
    return len((await house.ask("GET", "/tasks")).json["items"])


async def end(house: House) -> None:
    """Claim the one task and finish it, as a worker would."""
    claim = Claim(owner=Owner("h/u/n"), limit=1, lease=15.0, types=("simulate", "resize"))
    (claimed,) = await house.put(claim)
    assert isinstance(claimed, Claimed)
    (lease,) = claimed.leases
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE))


async def test_the_same_key_gives_the_same_answer_byte_for_byte(house: House) -> None:
    """A client that heard nothing may ask again: there is one task, and one answer."""
    first = await post(house)
    await end(house)
    again = await post(house)

    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers[REPLAYED] == "true"
    assert REPLAYED not in first.headers
    assert await count(house) == 1


async def test_fifty_racers_with_one_key_make_one_task(house: House) -> None:
    """They meet in one transaction, or in two: the primary key decides."""
    replies = await asyncio.gather(*(post(house) for _ in range(50)))

    assert {reply.body for reply in replies} == {replies[0].body}
    assert sum(REPLAYED not in reply.headers for reply in replies) == 1


async def test_a_replay_waits_for_nothing_and_is_the_201_that_was_kept(house: House) -> None:
    """Also where `Prefer: wait` had shown the end: what was said first is what is said again."""
    asked = asyncio.ensure_future(post(house, Prefer="wait=60"))
    while not await count(house):
        pass
    await end(house)
    house.context.waiters.rang(frozenset({"ended"}))
    first = await asked
    await house.ask("POST", f"/tasks/{first.json['id']}/retry")
    again = await post(house, Prefer="wait=60")

    assert (first.json["status"], first.headers["Preference-Applied"]) == ("Done", "wait=60")
    assert (again.status, again.json["status"]) == (201, "Pending")
    assert again.headers[REPLAYED] == "true"
    assert "Preference-Applied" not in again.headers
    assert again.body == (await post(house)).body


async def test_the_same_key_with_another_body_is_422(house: House) -> None:
    """Two wishes under one name: a mistake that should be seen."""
    await post(house)
    other = await post(house, "y")

    assert (other.status, other.json["type"]) == (422, "urn:taskhub:problem:key-reused")
    assert await count(house) == 1


async def test_the_body_is_the_same_when_its_bytes_are(house: House) -> None:
    """What another writer of JSON would send is another body, though it means the same."""
    await post(house)
    plain = {"Content-Type": "application/json"}
    other = await house.ask("POST", "/tasks", data=b'{ "title":"x"}', headers=KEY | plain)

    assert other.json["type"] == "urn:taskhub:problem:key-reused"


async def test_another_wrong_body_is_told_that_the_key_was_used(house: House) -> None:
    """That is the mistake to mend first."""
    await post(house)
    other = await post(house, "")

    assert other.json["type"] == "urn:taskhub:problem:key-reused"


@pytest.mark.parametrize(
    "other", [{"sub": "bob"}, {"sub": None, "client_id": "robot"}, {"sub": None}], ids=str
)
async def test_another_client_with_the_same_key_is_another(
    house: House, other: dict[str, Any]
) -> None:
    """Keys are guessed easily: nobody gets an answer that was somebody else's."""
    mine = await post(house)
    theirs = await post(house, **bearer(**other))

    assert theirs.status == 201
    assert theirs.json["id"] != mine.json["id"]
    assert REPLAYED not in theirs.headers


async def test_a_new_token_of_the_same_client_is_the_same_client(house: House) -> None:
    """Tokens last for minutes, keys for a day."""
    first = await post(house)
    again = await post(house, **bearer(exp=int(time.time()) + 1_000))

    assert again.body == first.body


async def test_who_may_no_longer_create_gets_no_kept_answer(house: House) -> None:
    """A key opens no door."""
    await post(house)
    again = await post(house, **bearer(scope="tasks.read"))

    assert again.status == 403


async def test_quoted_and_bare_are_one_key(house: House) -> None:
    """The draft says a string in quotes; everybody else sends it bare."""
    quoted = await post(house)
    bare = await post(house, **{"Idempotency-Key": NAME})

    assert bare.body == quoted.body


async def test_an_escaped_key_is_what_it_stands_for(house: House) -> None:
    """RFC 9651, 3.3.3: a backslash before a quote or a backslash, nowhere else."""
    escaped = await post(house, **{"Idempotency-Key": r'"a\\b"'})
    bare = await post(house, **{"Idempotency-Key": r"a\b"})

    assert escaped.status == 201
    assert bare.body == escaped.body


@pytest.mark.parametrize("key", ['"a b"', '"a,b"', r'"a\"b"', "a=b;c", "k" * 255, f'"{"k" * 255}"'])
async def test_a_good_key_is_taken(house: House, key: str) -> None:
    """Whatever is one string."""
    assert (await post(house, **{"Idempotency-Key": key})).status == 201


BAD_KEYS = (
    *("", "a b", "a,b", "ä", "k" * 256, 'a"', "a\x01b"),
    *(
        '""',
        '"ä"',
        '"a',
        '"a"b"',
        '"a\\"',
        '"a\\b"',
        '"a", "b"',
        '"a";b=1',
        '"a\x7f"',
        f'"{"k" * 256}"',
    ),
)


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
async def test_a_bad_key_is_400(house: House, key: str) -> None:
    """And nothing is stored: a key that is misread protects nobody."""
    body = b'{"title":"x"}'
    head = (
        f"POST /tasks HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {key}\r\nConnection: close\r\n"
        f"Authorization: {bearer()['Authorization']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )

    answer = await house.raw(head.encode() + body)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert await count(house) == 0


async def test_two_keys_are_400(house: House) -> None:
    """Which of them would count?"""
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    reply = await house.ask("POST", "/tasks", json={"title": "x"}, headers=headers)

    assert (reply.status, reply.json["type"]) == (400, "urn:taskhub:problem:bad-header")


async def test_a_refused_request_does_not_use_up_its_key(house: House) -> None:
    """Only a stored task is kept under a key; the mended request may come under the same one."""
    refused = await post(house, "")
    mended = await post(house)

    assert (refused.status, mended.status) == (422, 201)
    assert mended.json["title"] == "x"


@pytest.mark.parametrize("trouble", [StoreLocked(), StoreFull(), ActorFailed("x")], ids=repr)
async def test_trouble_is_not_kept(house: House, trouble: Exception) -> None:
    """The same request under the same key is the way to find out, and to get it done."""
    before, box = house.context.store_box, Mailbox[Put]("store", 8)
    house.context.store_box = box
    asked = asyncio.ensure_future(post(house))
    (put,) = await box.take()
    put.fail(trouble)
    failed = await asked
    house.context.store_box = before
    again = await post(house)

    assert failed.status in {503, 507}
    assert again.status == 201
    assert REPLAYED not in again.headers


async def test_a_kept_answer_outlives_the_rules_it_was_made_under(house: House) -> None:
    """A worker of a new version has changed the schema; what was promised stays promised."""
    body = {"title": "x", "type": "resize", "payload": {"url": "u"}}
    first = await house.ask("POST", "/tasks", json=body, headers=KEY)
    house.context.types = Catalog(house.store.types, TYPES[:1])

    again = await house.ask("POST", "/tasks", json=body, headers=KEY)
    other = await house.ask("POST", "/tasks", json=body, headers={"Idempotency-Key": "other"})
    plain = await house.ask("POST", "/tasks", json=body)

    assert (again.status, again.body) == (201, first.body)
    assert again.headers[REPLAYED] == "true"
    assert [other.status, plain.status] == [422, 422]
    assert other.json["type"] == plain.json["type"] == "urn:taskhub:problem:invalid"


async def test_a_key_is_kept_as_long_as_the_configuration_says(
    tmp_path: Path, empty_database: Path
) -> None:
    """After that it is free again; a reload holds for keys that come from then on."""
    soon = msgspec.structs.replace(CONFIG, retention=RetentionSection(keys_hours=1e-9))
    async with open_house(tmp_path, empty_database, soon) as house:
        first = await post(house)
        second = await post(house)
        house.config = CONFIG
        third = await post(house)
        fourth = await post(house)

    assert len({first.body, second.body, third.body}) == 3
    assert fourth.body == third.body


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_other_writes_do_not_look_at_the_key(house: House, verb: str) -> None:
    """They are acts on one task, which its state guards: the second one finds it changed."""
    made = await house.create()
    if verb == "retry":
        await house.ask("POST", f"/tasks/{made['id']}/cancel")
    operator = KEY | bearer(roles=["Operator"])

    first = await house.ask("POST", f"/tasks/{made['id']}/{verb}", headers=operator)
    again = await house.ask("POST", f"/tasks/{made['id']}/{verb}", headers=operator)
    new = await post(house)

    assert (first.status, again.status) == (200, 409)
    assert (new.status, REPLAYED in new.headers) == (201, False)
