"""External workers over HTTP: types, claims, leases, outcomes; and what strangers cannot do."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from contextlib import closing
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from taskhub.config.sections import RetentionSection, WorkSection
from taskhub.http.external.sightings import Sightings
from taskhub.model import Owner, TaskId, TypeInfo
from taskhub.obs.telemetry import (
    StaleFinish,
    TaskFailed,
    TaskProcessed,
    TaskReleased,
    TaskRetrying,
    TaskStarted,
)
from taskhub.ports import Register, Sweep

from tests.unit.http.house import House, Reply, bearer
from tests.waiting import until

WORKER = bearer(sub="mill", scope="tasks.work")
STRANGER = bearer(sub="stranger", scope="tasks.work")
LEASE_OVER = "urn:taskhub:problem:lease-over"


async def say(house: House, path: str, who: dict[str, str] = WORKER, **body: Any) -> Reply:
    """One request of an external worker."""
    method = "PUT" if path == "types" else "POST"
    return await house.ask(method, f"/work/{path}", json=body, headers=who)


ACTS: dict[str, dict[str, Any]] = {
    "renew": {},
    "progress": {"fraction": 0.5},
    "complete": {},
    "fail": {"error": "late"},
    "release": {},
}
"""What is said beside the lease."""


@pytest.fixture
async def mill(house: House) -> House:
    """A house that knows a type `press`, done by external workers."""
    reply = await say(house, "types", types=[{"name": "press", "queue": "mill", "maxAttempts": 3}])
    assert (reply.status, reply.json) == (200, {"types": ["press"]})
    return house


async def claim(house: House, **wish: Any) -> list[dict[str, Any]]:
    """What a claim hands out now."""
    reply = await say(house, "claim", **({"types": ["press"], "worker": "mill-1"} | wish))
    assert reply.status in {200, 204}, reply.body
    items: list[dict[str, Any]] = reply.json["items"] if reply.status == 200 else []
    return items


async def held(house: House, **task: Any) -> tuple[str, str]:
    """A new task in the hands of the worker: its id and its lease."""
    await house.create(type="press", **task)
    (item,) = await claim(house)
    return item["id"], item["lease"]


async def passed_on(house: House, id_: str) -> str:
    """Let the lease of a task expire and somebody else have it: the new lease."""
    elsewhere = Owner("another-boot/u/n")  # to which every lease of this boot has expired
    await house.put(Sweep(owner=elsewhere, held=(), living=(), lease=15.0))
    (item,) = await claim(house)
    assert item["id"] == id_
    return str(item["lease"])


async def test_a_type_that_was_made_known_can_be_created_with_its_defaults(mill: House) -> None:
    """At once, in the process that was told."""
    made = await mill.create(type="press")

    assert (made["queue"], made["maxAttempts"], made["timeoutSeconds"]) == ("mill", 3, 60.0)


async def test_a_schema_that_comes_with_a_type_is_kept_to(house: House) -> None:
    """Payloads that the worker could not read are refused where they are made."""
    schema = {"type": "object", "required": ["url"]}
    await say(house, "types", types=[{"name": "press", "payloadSchema": schema}])

    reply = await house.ask("POST", "/tasks", json={"title": "x", "type": "press"})

    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/payload")


@pytest.mark.parametrize(
    ("types", "pointer"),
    [
        ([], "/types"),
        ([{"name": "no name"}], "/types"),
        ([{"name": "a", "payloadSchema": {"type": "nothing"}}], "/types/0/payloadSchema"),
        (
            [{"name": "a", "payloadSchema": {"$ref": "http://127.0.0.1/x"}}],
            "/types/0/payloadSchema",
        ),
        ([{"name": "a", "payloadSchema": {"title": "x" * 17_000}}], "/types/0/payloadSchema"),
        ([{"name": "a", "payloadSchema": {"$ref": "#"}}], "/types/0/payloadSchema"),
        ([{"name": "a"}, {"name": "a"}], "/types/1/name"),
    ],
)
async def test_a_type_that_makes_no_sense_is_refused(
    house: House, types: list[Any], pointer: str
) -> None:
    """422, with the place."""
    reply = await say(house, "types", types=types)

    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer)


async def test_types_of_our_own_workers_stay_theirs(house: House) -> None:
    """Neither changed nor claimed by external workers: their handlers would be passed over."""
    await house.put(Register(types=[TypeInfo("resize")]))

    put = await say(house, "types", types=[{"name": "resize"}])
    taken = await say(house, "claim", types=["resize"])

    assert (put.status, put.json["type"]) == (409, "urn:taskhub:problem:own-type")
    assert (taken.status, taken.json["errors"][0]["pointer"]) == (422, "/types/0")


async def test_an_unknown_type_is_named_in_the_answer_to_a_claim(mill: House) -> None:
    """Else a worker with a slip in a name would wait for ever."""
    reply = await say(mill, "claim", types=["press", "pres"])

    assert reply.status == 422
    assert [error["pointer"] for error in reply.json["errors"]] == ["/types/1"]


async def test_a_task_goes_to_a_worker_and_comes_back_done(mill: House) -> None:
    """With its result to the byte, and told like one of our own workers' tasks."""
    made = await mill.create(type="press", payload={"sheets": 3})

    (item,) = await claim(mill)
    said = f'{{"lease":"{item["lease"]}","result":{{"pages": [1, 2.50]}}}}'
    reply = await mill.ask(
        "POST",
        f"/work/{item['id']}/complete",
        data=said,
        headers=WORKER | {"Content-Type": "application/json"},
    )

    assert item["task"]["payload"] == {"sheets": 3}
    assert (item["fence"], item["task"]["attempts"]) == (1, 1)
    assert (reply.status, reply.json) == (200, {"id": made["id"], "status": "Done"})
    (done,) = await mill.store.get([TaskId(made["id"])])
    assert bytes(done.result or b"") == b'{"pages": [1, 2.50]}'
    assert [event.attempt for event in mill.said(TaskStarted)] == [1]
    assert [event.result for event in mill.said(TaskProcessed)] == ["success"]


async def test_who_claims_and_renews_is_seen_to_do_the_type_now_and_then(mill: House) -> None:
    """Else it would look as if nobody did it, minutes after its worker has started."""
    now = 0.0
    mill.context.sightings = Sightings(lambda: now)
    seen = [await last_seen(mill)]

    id_, lease = await held(mill)
    seen.append(await last_seen(mill))
    await say(mill, f"{id_}/renew", lease=lease)
    seen.append(await last_seen(mill))
    now = 60.0
    await say(mill, f"{id_}/renew", lease=lease)
    seen.append(await last_seen(mill))

    assert seen[0] < seen[1] == seen[2] < seen[3]


async def last_seen(house: House) -> datetime:
    """When somebody has last said that it does the type."""
    found = {each.info.name: each.seen_at for each in await house.store.registrations()}
    assert found["press"] is not None
    return found["press"]


async def test_a_lease_is_no_longer_than_the_task_may_run(mill: House) -> None:
    """A worker that vanishes holds it no longer, whatever it has asked for."""
    await mill.create(type="press", timeoutSeconds=20, priority=1)
    await mill.create(type="press", timeoutSeconds=90)

    short, long = await claim(mill, limit=2, leaseSeconds=60)

    why = (await mill.ask("GET", f"/tasks/{short['id']}/why")).json["reasons"][0]
    assert [round(lasts(item, item["leaseUntil"])) for item in (short, long)] == [20, 60]
    assert (why["cause"], why["holder"]) == ("leaseHeld", "ext:mill-1")
    assert lasts(short, why["until"]) < 30


def lasts(item: dict[str, Any], until: str) -> float:
    """Seconds from the claim until then."""
    began = datetime.fromisoformat(item["task"]["startedAt"])
    return (datetime.fromisoformat(until) - began).total_seconds()


async def test_a_batch_is_no_larger_than_asked_for(mill: House) -> None:
    """The most urgent first."""
    for priority in (0, 5, 9):
        await mill.create(type="press", priority=priority)

    first = await claim(mill, limit=2)
    rest = await claim(mill, limit=100)

    assert [item["task"]["priority"] for item in first + rest] == [9, 5, 0]
    assert len(first) == 2


async def test_nothing_to_do_is_204(mill: House) -> None:
    """No body to read, no error to log."""
    reply = await say(mill, "claim", types=["press"])

    assert (reply.status, reply.body) == (204, b"")


async def test_a_worker_that_waits_is_woken_by_the_bell(mill: House) -> None:
    """It does not ask in vain: the bench asks for it."""
    waiting = asyncio.create_task(claim(mill, wait=60))
    await until(lambda: mill.context.bench.seats)

    made = await mill.create(type="press")
    mill.context.bench.rang(frozenset({"work"}))

    assert [item["id"] for item in await waiting] == [made["id"]]


async def test_a_lost_bell_costs_no_more_than_a_look(mill: House) -> None:
    """The event server may be away."""
    waiting = asyncio.create_task(claim(mill, wait=60))
    await until(lambda: mill.context.bench.seats)

    made = await mill.create(type="press")

    assert [item["id"] for item in await waiting] == [made["id"]]


async def test_more_who_wait_than_there_are_seats_are_told_to_come_again(mill: House) -> None:
    """503 with Retry-After; who asks without waiting is served all the same."""
    crowd = [asyncio.create_task(claim(mill, wait=60)) for _ in range(2)]
    await until(lambda: len(mill.context.bench.seats) == 2)

    reply = await say(mill, "claim", types=["press"], wait=60)

    assert (reply.status, "Retry-After" in reply.headers) == (503, True)
    mill.context.bench.close()
    assert await asyncio.gather(*crowd) == [[], []]


async def test_a_waiting_worker_that_has_gone_is_given_nothing(mill: House) -> None:
    """Its task would be lost for a lease, and an attempt with it."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{mill.port}", headers=WORKER) as gone:
        wish = {"types": ["press"], "wait": 60}
        waiting = asyncio.create_task(gone.post("/work/claim", json=wish))
        await until(lambda: mill.context.bench.seats)
        waiting.cancel()
    await until(lambda: not any(seat.is_there() for seat in mill.context.bench.seats))

    made = await mill.create(type="press")
    mill.context.bench.rang(frozenset({"work"}))

    assert [item["id"] for item in await claim(mill, wait=60)] == [made["id"]]
    assert [event.attempt for event in mill.said(TaskStarted)] == [1]


@pytest.mark.parametrize("act", ACTS)
async def test_an_old_lease_is_409_and_changes_nothing(mill: House, act: str) -> None:
    """The fence: the task is somebody else's by now."""
    id_, old = await held(mill)
    new = await passed_on(mill, id_)

    reply = await say(mill, f"{id_}/{act}", lease=old, **ACTS[act])

    assert (reply.status, reply.json["type"]) == (409, LEASE_OVER)
    assert (await say(mill, f"{id_}/complete", lease=new)).status == 200
    assert len(mill.said(StaleFinish)) == (act in {"complete", "fail"})


@pytest.mark.parametrize("act", ACTS)
async def test_a_stranger_cannot_use_a_lease(mill: House, act: str) -> None:
    """Neither with the very token nor with a guess of it."""
    id_, lease = await held(mill)

    stolen = await say(mill, f"{id_}/{act}", STRANGER, lease=lease, **ACTS[act])
    guessed = await say(mill, f"{id_}/{act}", lease=f"1.{'A' * 22}", **ACTS[act])

    assert (stolen.status, guessed.status) == (409, 409)
    assert (await say(mill, f"{id_}/complete", lease=lease)).status == 200


@pytest.mark.parametrize("act", ["complete", "fail"])
async def test_the_same_outcome_again_is_answered_the_same(mill: House, act: str) -> None:
    """The answer was lost on the way: nothing happens twice, and the worker learns it."""
    id_, lease = await held(mill)
    body = {"error": "no paper", "final": True} if act == "fail" else {"result": 7}

    first = await say(mill, f"{id_}/{act}", lease=lease, **body)
    again = await say(mill, f"{id_}/{act}", lease=lease, **body)
    other = await say(mill, f"{id_}/{act}", lease=lease, error="another", final=True)

    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert other.status in {409, 422}
    assert len(mill.said(TaskProcessed)) == 1


async def test_a_failed_attempt_comes_again_when_it_says(mill: House) -> None:
    """At the cost of the attempt; the last one ends it."""
    id_, lease = await held(mill)

    reply = await say(mill, f"{id_}/fail", lease=lease, error="jam\x00med", retryInSeconds=0)
    (again,) = await claim(mill)
    await say(mill, f"{id_}/fail", lease=again["lease"], error="again", retryInSeconds=0)
    (last,) = await claim(mill)
    end = await say(mill, f"{id_}/fail", lease=last["lease"], error="for good", exception="Jam")

    assert (reply.status, reply.json["status"]) == (200, "Pending")
    assert again["task"]["error"] == "jam\N{REPLACEMENT CHARACTER}med"
    assert (last["task"]["attempts"], end.json["status"]) == (3, "Failed")
    assert len(mill.said(TaskRetrying)) == 2
    (failed,) = mill.said(TaskFailed)
    assert failed.error == "for good"
    (item,) = await mill.store.get([TaskId(id_)])
    assert failed.fingerprint == item.fingerprint != ""


async def test_a_task_given_back_costs_no_attempt(mill: House) -> None:
    """A worker that is stopped drains like our own."""
    id_, lease = await held(mill)

    reply = await say(mill, f"{id_}/release", lease=lease)
    (again,) = await claim(mill)

    assert (reply.status, again["task"]["attempts"]) == (204, 1)
    assert len(mill.said(TaskReleased)) == 1


async def test_a_renewal_says_when_a_cancel_is_wished(mill: House) -> None:
    """And a failure then ends the task as Cancelled."""
    id_, lease = await held(mill)
    before = await say(mill, f"{id_}/renew", lease=lease)
    await mill.ask("POST", f"/tasks/{id_}/cancel")

    after = await say(mill, f"{id_}/renew", lease=lease, leaseSeconds=5)
    end = await say(mill, f"{id_}/fail", lease=lease, error="stopped")

    assert (before.json["cancelRequested"], after.json["cancelRequested"]) == (False, True)
    assert end.json["status"] == "Cancelled"


async def test_a_renewal_that_waits_is_answered_when_a_cancel_is_wished(mill: House) -> None:
    """The bell makes it quick; the lease was made longer before the wait."""
    id_, lease = await held(mill)
    mill.context.cancels._poll = 60.0

    waiting = asyncio.ensure_future(say(mill, f"{id_}/renew", lease=lease, wait=15))
    await until(lambda: mill.context.cancels._count == 1)
    await mill.ask("POST", f"/tasks/{id_}/cancel")
    mill.context.cancels.rang(frozenset({"cancel"}))

    assert (await waiting).json["cancelRequested"] is True


async def test_a_wish_to_cancel_is_seen_without_a_bell(mill: House) -> None:
    """Bells may be lost. Of another task it is not believed, nor longer waited than was said."""
    id_, lease = await held(mill)
    other, its_lease = await held(mill)

    waiting = asyncio.ensure_future(say(mill, f"{id_}/renew", lease=lease, wait=15))
    shortly = asyncio.ensure_future(say(mill, f"{other}/renew", lease=its_lease, wait=0.5))
    await until(lambda: mill.context.cancels._count == 2)
    await mill.ask("POST", f"/tasks/{id_}/cancel")

    assert (await waiting).json["cancelRequested"] is True
    assert (await shortly).json["cancelRequested"] is False


async def test_a_renewal_that_finds_no_room_to_wait_has_renewed(mill: House) -> None:
    """503 with Retry-After to whoever is one too many; its lease is longer all the same."""
    tasks = [await held(mill, timeoutSeconds=3_600) for _ in range(3)]
    (last, lease) = tasks[2]
    waiting = [
        asyncio.ensure_future(say(mill, f"{id_}/renew", lease=mine, wait=15))
        for id_, mine in tasks[:2]
    ]
    await until(lambda: mill.context.cancels._count == 2)

    refused = await say(mill, f"{last}/renew", lease=lease, leaseSeconds=1_000, wait=15)

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert lease_of(mill, last) > lease_of(mill, tasks[0][0]) + 900
    mill.context.cancels.close()
    assert [(await one).status for one in waiting] == [200, 200]


def lease_of(house: House, id_: str) -> float:
    """Until when a task is held, in the clock of leases."""
    with closing(sqlite3.connect(house.store._path)) as db:
        ((end,),) = db.execute("SELECT LeaseUntil FROM Tasks WHERE Id = ?", (id_,))
        return float(end)


async def test_a_lease_is_not_renewed_past_the_time_limit_of_the_task(mill: House) -> None:
    """A worker that hangs and renews for ever must not hold a task for ever."""
    id_, lease = await held(mill, timeoutSeconds=0.1)

    async def is_over() -> bool:
        return (await say(mill, f"{id_}/renew", lease=lease)).status == 409

    while not await is_over():
        pass
    assert (await say(mill, f"{id_}/complete", lease=lease)).status == 200


async def test_progress_is_kept_on_the_task(mill: House) -> None:
    """As `job.progress` keeps it."""
    id_, lease = await held(mill)

    reply = await say(mill, f"{id_}/progress", lease=lease, fraction=0.5, text="2 of 4")

    (item,) = await mill.store.get([TaskId(id_)])
    assert reply.status == 204
    assert bytes(item.progress or b"") == b'{"fraction":0.5,"text":"2 of 4"}'


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("claim", {}, ["/types"]),
        ("claim", {"types": ["press"], "limit": 101}, ["/limit"]),
        ("claim", {"types": ["press"], "wait": 61}, ["/wait"]),
        ("claim", {"types": ["press"], "leaseSeconds": 0.5}, ["/leaseSeconds"]),
        ("claim", {"types": ["press"], "worker": "a/b"}, ["/worker"]),
        ("claim", {"types": ["press"], "secret": "s3cret"}, [""]),
        ("complete", {}, ["/lease"]),
        ("complete", {"lease": "1.short"}, ["/lease"]),
        ("fail", {"lease": f"1.{'A' * 22}"}, ["/error"]),
        ("renew", {"lease": f"1.{'A' * 22}", "leaseSeconds": 3_601}, ["/leaseSeconds"]),
    ],
)
async def test_what_breaks_a_rule_is_named(
    mill: House, path: str, body: dict[str, Any], pointers: list[str]
) -> None:
    """By its place and its rule, never by what was sent."""
    place = path if path == "claim" else f"019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21/{path}"

    reply = await say(mill, place, **body)

    assert reply.status == 422
    assert [error["pointer"] for error in reply.json["errors"]] == pointers
    assert b"s3cret" not in reply.body


async def test_what_is_said_with_the_progress_is_there_for_the_next_attempt(mill: House) -> None:
    """Up to 4 KiB of it: a long work goes on where the last attempt stood."""
    id_, lease = await held(mill)
    told: dict[str, Any] = {"lease": lease, "fraction": 0.5, "text": "2 of 4"}

    refused = await say(mill, f"{id_}/progress", **told, data="x" * 4_095)
    kept = await say(mill, f"{id_}/progress", **told, data={"page": 2})
    await say(mill, f"{id_}/fail", lease=lease, error="out of paper", retryInSeconds=0)
    (item,) = await claim(mill)

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/data")
    assert kept.status == 204
    assert item["task"]["progress"] == {"fraction": 0.5, "text": "2 of 4", "data": {"page": 2}}


async def test_a_result_is_kept_as_long_as_its_type_says(house: House) -> None:
    """Where the type says nothing, as the configuration has it; the answers tell when it ends."""
    retention = RetentionSection(results_days=1.0)
    house.config = msgspec.structs.replace(house.config, retention=retention)
    await say(house, "types", types=[{"name": "press", "keepResultSeconds": 60}, {"name": "fold"}])

    kept = {}
    for name in ("press", "fold"):
        await house.create(type=name)
        (item,) = await claim(house, types=[name])
        await say(house, f"{item['id']}/complete", lease=item["lease"], result=1)
        task = (await house.ask("GET", f"/tasks/{item['id']}")).json
        end, ended = map(datetime.fromisoformat, (task["resultExpiresAt"], task["finishedAt"]))
        kept[name] = round((end - ended).total_seconds())

    assert kept == {"press": 60, "fold": 86_400}
    told = {row["name"]: row for row in (await house.ask("GET", "/types")).json["items"]}
    assert (told["press"]["keepResultSeconds"], told["press"]["external"]) == (60.0, True)
    assert (told["fold"]["keepResultSeconds"], told["simulate"]["external"]) == (None, False)


async def test_a_result_has_the_limit_of_the_configuration(mill: House) -> None:
    """Which may be less than what is said where nothing is."""
    mill.config = msgspec.structs.replace(mill.config, work=WorkSection(max_result=1_024))
    id_, lease = await held(mill)

    long = await say(mill, f"{id_}/complete", lease=lease, result="x" * 1_023)
    fits = await say(mill, f"{id_}/complete", lease=lease, result="x" * 1_022)

    assert (long.status, long.json["errors"][0]["pointer"]) == (422, "/result")
    assert fits.status == 200


async def test_a_result_has_a_limit_that_it_may_reach(mill: House) -> None:
    """As with our own workers 1 MiB of JSON, whatever else bodies may have."""
    id_, lease = await held(mill)
    replies = []

    for size in (1_048_577, 1_048_576):
        said = f'{{"lease":"{lease}","result":"{"x" * (size - 2)}"}}'
        fields = WORKER | {"Content-Type": "application/json"}
        large = io.BytesIO(said.encode())
        replies.append(await mill.ask("POST", f"/work/{id_}/complete", data=large, headers=fields))

    assert (replies[0].status, replies[0].json["errors"][0]["pointer"]) == (422, "/result")
    assert replies[1].status == 200
