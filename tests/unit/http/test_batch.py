"""POST /tasks/batch: all or none, or each for itself; one transaction, one key, every error."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from taskhub.config.sections import LimitsSection
from taskhub.errors import StoreLocked
from taskhub.http.batches import Batches
from taskhub.http.catalog import Catalog
from taskhub.http.creating_many import ERRORS_EACH
from taskhub.http.new_tasks import ERRORS_MOST, MOST
from taskhub.messages import Put
from taskhub.model import TaskId
from taskhub.obs.telemetry import RateLimited, TaskCreated
from taskhub.ports import CreateMany

from tests.unit.http.house import CONFIG, TYPES, House, Reply, bearer, open_house, tuned

PLAIN = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "import-7"}
GOOD = {"title": "good"}
BAD = {"title": "bad", "priority": 101}


async def post(house: House, *tasks: Any, headers: Any = None, **members: Any) -> Reply:
    """A batch."""
    body = {"tasks": tasks} | members
    return await house.ask("POST", "/tasks/batch", json=body, headers=headers)


async def titles(house: House) -> list[str]:
    """What is stored, oldest first."""
    items = (await house.ask("GET", "/tasks?limit=200")).json["items"]
    return [item["title"] for item in items][::-1]


def pointers(errors: list[dict[str, str]]) -> list[str]:
    """Where something is wrong."""
    return [error["pointer"] for error in errors]


# ---- what is stored and answered


async def test_all_tasks_are_on_disk_in_their_order_when_it_is_answered(house: House) -> None:
    """The ids are those of the rows, and sort as the tasks were given."""
    reply = await post(house, *({"title": f"t{n}"} for n in range(150)))

    assert (reply.status, reply.json["created"], reply.json["refused"]) == (201, 150, 0)
    ids = [item["id"] for item in reply.json["items"]]
    assert {item["status"] for item in reply.json["items"]} == {201}
    assert ids == sorted(ids)
    stored = await house.store.get([TaskId(id_) for id_ in ids])
    assert [item.title for item in stored] == [f"t{n}" for n in range(150)]
    assert await titles(house) == [f"t{n}" for n in range(150)]


async def test_each_task_is_as_if_it_had_been_posted_alone(house: House) -> None:
    """The same members, defaults and bytes of the payload; and one creator, one time."""
    payload = b'{ "url":"\\u0075",  "width":10 }'
    task = b'{"title":"x","type":"resize","priority":7,"payload":%b}' % payload
    body = b'{"tasks":[%b, {"title":"y","queue":"q","groupKey":"k","maxAttempts":1}]}' % task

    reply = await house.ask("POST", "/tasks/batch", data=body, headers=PLAIN)

    one, two = [await house.ask("GET", f"/tasks/{item['id']}") for item in reply.json["items"]]
    alone = await house.ask("POST", "/tasks", data=task, headers=PLAIN)
    own = ("id", "createdAt", "updatedAt", "runAt")
    assert {name: one.json[name] for name in one.json if name not in own} == {
        name: alone.json[name] for name in alone.json if name not in own
    }
    assert payload in one.body
    assert (two.json["queue"], two.json["groupKey"], two.json["maxAttempts"]) == ("q", "k", 1)
    assert one.json["createdAt"] == two.json["createdAt"] == two.json["runAt"]
    assert (one.json["createdBy"], two.json["createdBy"]) == ("alice", "alice")


async def test_every_task_has_its_event_and_its_line_with_the_request(house: House) -> None:
    """A task of a batch is found in the log like any other."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    given = {"X-Request-Id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}

    reply = await post(house, *({"title": f"t{n}"} for n in range(250)), headers=given)

    told = house.said(TaskCreated)
    assert [each.task_id for each in told] == [item["id"] for item in reply.json["items"]]
    assert {(each.request_id, each.trace_id) for each in told} == {("mine-1", trace)}
    history = await house.ask("GET", f"/tasks/{reply.json['items'][249]['id']}/events")
    assert [event["type"] for event in history.json["items"]] == ["TaskCreated"]


async def test_a_thousand_are_taken_and_one_more_is_not(house: House) -> None:
    """The limit is said by its pointer."""
    most = await post(house, *[GOOD] * MOST)
    more = await post(house, *[GOOD] * (MOST + 1))

    assert (most.status, most.json["created"]) == (201, MOST)
    assert (more.status, more.json["errors"]) == (
        422,
        [{"pointer": "/tasks", "detail": "1 to 1000 tasks"}],
    )


# ---- all or none


async def test_one_bad_task_spoils_an_atomic_batch_and_every_error_is_named(house: House) -> None:
    """Who mends all of them needs one more try; nothing of the batch is stored."""
    reply = await post(
        house,
        GOOD,
        {"title": "", "queue": "!", "groupKey": "\n"},
        {"title": "x", "type": "unknown"},
        {"title": "x", "type": "resize", "payload": {"url": 1, "width": "w"}},
        7,
        {"title": "x", "runAt": "2026-11-24T10:00:00Z", "delaySeconds": 1},
    )

    assert (reply.status, reply.json["type"]) == (422, "urn:taskhub:problem:invalid")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert sorted(pointers(reply.json["errors"])) == [
        "/tasks/1/groupKey",
        "/tasks/1/queue",
        "/tasks/1/title",
        "/tasks/2/type",
        "/tasks/3/payload/url",
        "/tasks/3/payload/width",
        "/tasks/4",
        "/tasks/5/delaySeconds",
    ]
    assert "5 of 6 tasks" in reply.json["detail"]
    assert await titles(house) == []
    assert house.said(TaskCreated) == []


async def test_errors_without_end_are_listed_up_to_a_limit(house: House) -> None:
    """What somebody can cause by a small request must not grow without bounds."""
    many = {f"member{n}": 1 for n in range(20)}
    atomic = await post(house, *[GOOD | many] * 100)
    each = await post(house, *[GOOD | many] * 100, atomic=False)

    assert len(atomic.json["errors"]) == ERRORS_MOST
    assert "2000 errors" in atomic.json["detail"]
    assert {len(item["errors"]) for item in each.json["items"]} == {ERRORS_EACH}


# ---- each for itself


async def test_each_for_itself_stores_the_good_and_names_the_others(house: House) -> None:
    """207: each item says what a request for it alone would have been answered."""
    reply = await post(house, {"title": "a"}, BAD, {"title": "b"}, "no task", atomic=False)

    items = reply.json["items"]
    assert (reply.status, reply.json["created"], reply.json["refused"]) == (207, 2, 2)
    assert [item["status"] for item in items] == [201, 422, 201, 422]
    assert [set(item) for item in items] == [{"status", "id"}, {"status", "errors"}] * 2
    assert items[1]["errors"] == [
        {"pointer": "/tasks/1/priority", "detail": "-100 to 100, the greater the sooner"}
    ]
    assert pointers(items[3]["errors"]) == ["/tasks/3"]
    assert await titles(house) == ["a", "b"]
    assert [told.title for told in house.said(TaskCreated)] == ["a", "b"]


async def test_each_for_itself_is_201_when_all_are_stored_and_207_when_none_is(
    house: House,
) -> None:
    """Who looks at the status alone is told the truth."""
    all_ = await post(house, GOOD, GOOD, atomic=False)
    none = await post(house, BAD, BAD, atomic=False)

    assert (all_.status, all_.json["refused"]) == (201, 0)
    assert (none.status, none.json["created"], none.json["refused"]) == (207, 0, 2)


# ---- bodies


WRONG: list[tuple[bytes, int, list[str]]] = [
    (b"", 400, []),
    (b"[]", 400, []),
    (b"null", 400, []),
    (b"{}", 422, ["/tasks"]),
    (b'{"tasks":[]}', 422, ["/tasks"]),
    (b'{"tasks":{}}', 422, ["/tasks"]),
    (b'{"tasks":null}', 422, ["/tasks"]),
    (b'{"atomic":1}', 422, ["/tasks", "/atomic"]),
    (b'{"tasks":[{"title":"x"}],"atomic":null}', 422, ["/atomic"]),
    (b'{"tasks":[{"title":"x"}],"Atomic":true}', 422, ["/Atomic"]),
    (b'{"tasks":[{"title":"x"}],"tasks":[{"title":"y"}]}', 400, []),
    (b'{"tasks":[{"title":"x"}],"atomic":false,"atomic":true}', 400, []),
    (b'{"tasks":[{"title":"x","title":"y"}],"atomic":false}', 400, []),
    (b'{"tasks":[{"title":"x","payload":{"a":1,"a":2}}]}', 400, []),
    (b'{"tasks":[{"title":"x","payload":%b}]}' % (b"[" * 101 + b"]" * 101), 400, []),
    (b'{"tasks":[{"title":"x","payload":NaN}]}', 400, []),
    (b'{"tasks":[{"title":"x","payload":1e999}]}', 400, []),
    (b'{"tasks":[{"title":"\xff"}]}', 400, []),
    (b'{"tasks":["\xff"],"atomic":false}', 400, []),
    (b'{"tasks":[{"title":"x","payload":"\\ud800"}]}', 400, []),
    (b'{"tasks":[{"title":"x"},]}', 400, []),
    (b'\xef\xbb\xbf{"tasks":[{"title":"x"}]}', 400, []),
]


@pytest.mark.parametrize(("body", "status", "where"), WRONG, ids=lambda value: ascii(value)[:50])
async def test_what_is_no_batch_is_refused_whole(
    house: House, body: bytes, status: int, where: list[str]
) -> None:
    """JSON that is not strict says nothing certain of any of its tasks: none is stored."""
    reply = await house.ask("POST", "/tasks/batch", data=body, headers=PLAIN)

    assert (reply.status, pointers(reply.json.get("errors", []))) == (status, where)
    assert await titles(house) == []


async def test_deep_but_allowed_payloads_are_taken_in_any_number(house: House) -> None:
    """The limit on nesting is for each task, not for the sum of them."""
    deep: Any = []
    for _ in range(90):
        deep = [deep]

    assert (await post(house, *[GOOD | {"payload": deep}] * 5)).status == 201


async def test_the_limit_of_the_body_is_its_own(tmp_path: Path, empty_database: Path) -> None:
    """Larger than a single task may be, and no larger than that."""
    config = tuned(CONFIG, max_body=1_024, max_batch_body=20_000)
    async with open_house(tmp_path, empty_database, config) as house:
        larger = await post(house, *[GOOD | {"payload": "x" * 900}] * 10)
        too_large = await post(house, *[GOOD | {"payload": "x" * 900}] * 30)

    assert (larger.status, too_large.status) == (201, 413)
    assert too_large.json["type"] == "urn:taskhub:problem:too-large"


async def test_no_parameters_are_known(house: House) -> None:
    """A misspelt wish is not passed over in silence."""
    assert (await house.ask("POST", "/tasks/batch?atomic=false", json={})).status == 400


# ---- keys


async def test_the_same_key_gets_the_same_answer_byte_for_byte(house: House) -> None:
    """The whole batch is asked for once, whatever it came to; refused tasks too."""
    for number, atomic in enumerate((True, False)):
        tasks = [{"title": "a"}] if atomic else [{"title": "a"}, BAD]
        key = {"Idempotency-Key": f"k{number}"}
        first = await post(house, *tasks, atomic=atomic, headers=key)
        again = await post(house, *tasks, atomic=atomic, headers=key)

        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
    assert await titles(house) == ["a", "a"]
    assert len(house.said(TaskCreated)) == 2


async def test_racers_with_one_key_make_one_batch(house: House) -> None:
    """They meet in one transaction, or in two."""
    replies = await asyncio.gather(*(post(house, GOOD, GOOD, headers=KEY) for _ in range(20)))

    assert {reply.body for reply in replies} == {replies[0].body}
    assert sum("Idempotency-Replayed" not in reply.headers for reply in replies) == 1
    assert len(await titles(house)) == 2


async def test_a_key_stands_for_one_body_on_one_route(house: House) -> None:
    """Another batch under it, or a single task, is a mistake that should be seen."""
    await post(house, GOOD, headers=KEY)

    other = await post(house, GOOD, GOOD, headers=KEY)
    alone = await house.ask("POST", "/tasks", json=GOOD, headers=KEY)

    for reply in (other, alone):
        assert (reply.status, reply.json["type"]) == (422, "urn:taskhub:problem:key-reused")


async def test_a_refused_batch_leaves_its_key_free(house: House) -> None:
    """Mended, it may come again under the same key."""
    refused = await post(house, GOOD, BAD, headers=KEY)
    mended = await post(house, GOOD, headers=KEY)

    assert (refused.status, mended.status) == (422, 201)


async def test_what_was_promised_stays_promised_when_a_type_changes(house: House) -> None:
    """A client that heard nothing asks again after the deploy."""
    task = {"title": "x", "type": "resize", "payload": {"url": "u"}}
    first = await post(house, task, headers=KEY)
    house.context.types = Catalog(house.store.types, TYPES[:1])

    again = await post(house, task, headers=KEY)
    other = await post(house, task)

    assert (again.status, again.body) == (201, first.body)
    assert (other.status, pointers(other.json["errors"])) == (422, ["/tasks/0/type"])


# ---- limits


async def test_every_task_counts_against_the_limit_of_new_tasks(house: House) -> None:
    """Else a batch would be the way around it; a batch is let in whole or not at all."""
    house.context.limits.follow(LimitsSection(create="10/hour"))

    first = await post(house, *[GOOD] * 7)
    alone = await house.ask("POST", "/tasks", json=GOOD)
    over = await post(house, *[GOOD] * 3)

    assert [reply.status for reply in (first, alone, over)] == [201, 201, 429]
    assert first.headers["RateLimit"].startswith('"create";r=3;t=')
    for reply in (first, alone, over):
        assert len(reply.headers.getall("RateLimit")) == 1
    assert int(over.headers["Retry-After"]) > 0
    assert len(house.said(RateLimited)) == 1
    assert len(await titles(house)) == 8


async def test_a_batch_beyond_the_limit_itself_is_told_that_waiting_is_no_use(
    house: House,
) -> None:
    """429 would send the client into an endless loop."""
    house.context.limits.follow(LimitsSection(create="10/hour"))

    reply = await post(house, *[GOOD] * 11)

    assert (reply.status, pointers(reply.json["errors"])) == (422, ["/tasks"])
    assert "at most 10 tasks" in reply.json["errors"][0]["detail"]


async def test_the_policy_is_that_of_single_tasks(tmp_path: Path, empty_database: Path) -> None:
    """Who has narrowed one route has not left the other one open."""
    config = CONFIG.__class__(jwt=CONFIG.jwt, policies={"createTask": ("role:Shop",)})
    async with open_house(tmp_path, empty_database, config) as house:
        writer = await post(house, GOOD)
        shop = await post(house, GOOD, headers=bearer(role="Shop"))

    assert (writer.status, shop.status) == (403, 201)


async def test_more_batches_than_can_be_in_hand_are_told_to_come_again(house: House) -> None:
    """Each may be megabytes: memory must not depend on how many come at once."""
    house.context.batches = Batches(most=0)

    reply = await post(house, GOOD)

    assert (reply.status, reply.json["type"]) == (503, "urn:taskhub:problem:busy")
    assert "Retry-After" in reply.headers


async def test_a_batch_whose_turn_does_not_come_is_told_to_come_again(house: House) -> None:
    """The store may hang: nobody waits for ever behind those who wait for it."""
    house.context.batches = Batches(patience=0.01)

    async with house.context.batches.turn():
        reply = await post(house, GOOD)

    assert (reply.status, reply.json["type"]) == (503, "urn:taskhub:problem:busy")
    assert (await post(house, GOOD)).status == 201


async def test_a_batch_that_waits_for_others_is_done_in_its_turn(house: House) -> None:
    """One is worked on at once, for single tasks are waiting for the same commits."""
    replies = await asyncio.gather(*(post(house, GOOD) for _ in range(20)))

    assert {reply.status for reply in replies} == {201}


# ---- trouble


async def test_it_is_one_message_and_one_write(house: House, monkeypatch: Any) -> None:
    """All of it is one transaction, whatever else is committed with it."""
    asked: list[Put] = []
    send = Put.sent_to

    def noting(put: Put, box: Any) -> Any:
        asked.append(put)
        return send(put, box)

    monkeypatch.setattr(Put, "sent_to", noting)

    await post(house, *[GOOD] * 500)

    (put,) = asked
    (write,) = put.writes
    assert isinstance(write, CreateMany)
    assert len(write.creates) == 500


async def test_trouble_of_the_store_is_a_503_and_stores_nothing(
    house: House, monkeypatch: Any
) -> None:
    """The client may come again, with its key as often as it likes."""

    def locked(*_: object) -> None:
        raise StoreLocked

    with monkeypatch.context() as patch:
        patch.setattr(type(house.store), "commit", locked)
        reply = await post(house, GOOD, headers=KEY)

    assert (reply.status, reply.json["type"]) == (503, "urn:taskhub:problem:store-locked")
    assert await titles(house) == []
    assert (await post(house, GOOD, headers=KEY)).status == 201
