"""Schedules over HTTP: made, changed under a validator, paused, run, explained, told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from taskhub.audit import AuditQuery
from taskhub.model import Status, TypeDefaults
from taskhub.obs.telemetry import ActAudited
from taskhub.ports import Claim, Finish
from taskhub.schedules.making import Birth, task
from taskhub.schedules.schedule import Definition, RunQuery, Source
from taskhub.schedules.writes import DeclareSchedules, FireSchedule
from uuid_utils import uuid7

from tests.unit.http.house import House, Reply, bearer

OPERATOR = bearer(sub="olga", scope="tasks.read", roles=["Operator"])
NIGHTLY: dict[str, Any] = {
    "cron": "0 6 * * MON-FRI",
    "timeZone": "Europe/Berlin",
    "title": "The report ü",
    "type": "resize",
    "payload": {"url": "x"},
    "misfire": "all",
    "misfireGraceSeconds": 0.5,
    "overlap": "queue",
}


@pytest.fixture
def house(house: House) -> House:
    """One whose client is an operator that may read."""
    house.client.headers.update(OPERATOR)
    return house


async def made(house: House, name: str = "nightly", **members: Any) -> Reply:
    """A new schedule."""
    body = {"name": name, "cron": "@hourly"} | members
    reply = await house.ask("POST", "/schedules", json=body)
    assert reply.status == 201, reply.body
    return reply


async def acts(house: House) -> list[tuple[str, str]]:
    """What the audit log says, oldest first."""
    page = await house.store.audit(AuditQuery())
    return [(entry.message, entry.actor) for entry in reversed(page.items)]


def codes(reply: Reply) -> tuple[int, str]:
    """The status and the kind of an error."""
    return reply.status, reply.json["type"].rpartition(":")[2]


async def fire(house: House, name: str = "nightly") -> None:
    """What a scheduler does when it is due."""
    found = await house.store.schedule(name)
    assert found is not None
    assert found.next_at is not None
    birth = Birth(str(uuid7()), datetime.now(UTC), found.next_at)
    item = task(found.definition, TypeDefaults(), birth)
    await house.put(
        FireSchedule(
            name=name,
            version=found.version,
            seen=found.next_at,
            due=found.next_at,
            next_at=found.next_at + timedelta(hours=1),
            item=item,
        )
    )


# ---- making


async def test_a_schedule_is_made_and_shown(house: House) -> None:
    """In words, with its next runs; the payload as it was sent."""
    reply = await house.ask("POST", "/schedules", json={"name": "nightly", **NIGHTLY})

    assert (reply.status, reply.headers["Location"]) == (201, "/schedules/nightly")
    told = reply.json
    assert {name: told[name] for name in NIGHTLY} == NIGHTLY
    assert told["words"] == "At 06:00 on Monday through Friday (Europe/Berlin)"
    assert (told["source"], told["paused"], told["waiting"], told["lastRun"]) == (
        "api",
        False,
        0,
        None,
    )
    assert (told["queue"], told["maxAttempts"], told["updatedBy"]) == (None, None, "olga")
    times = [datetime.fromisoformat(text) for text in told["nextRuns"]]
    assert len(times) == 5
    assert times == sorted(times)
    assert times[0] > datetime.now(UTC)
    shown = await house.ask("GET", "/schedules/nightly")
    assert {k: v for k, v in shown.json.items() if k != "lastTask"} == told
    assert shown.json["lastTask"] is None
    assert await acts(house) == [("schedule create nightly", "olga")]
    assert [told.act for told in house.said(ActAudited)] == ["schedule create nightly"]


async def test_what_is_left_out_is_as_usual(house: House) -> None:
    """The shortest one."""
    told = (await made(house)).json

    assert (told["title"], told["type"], told["timeZone"]) == ("nightly", "simulate", "UTC")
    assert (told["misfire"], told["misfireGraceSeconds"], told["overlap"]) == ("once", 60, "skip")
    assert told["payload"] == {}


async def test_a_name_is_taken_once(house: House) -> None:
    """409; the one that is there stays as it is."""
    first = (await made(house)).json

    reply = await house.ask("POST", "/schedules", json={"name": "nightly", "cron": "@daily"})

    assert codes(reply) == (409, "name-taken")
    assert (await house.ask("GET", "/schedules/nightly")).json["cron"] == first["cron"]
    assert len(await acts(house)) == 1


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        ({"cron": None}, "/cron", "five fields"),
        ({"cron": "61 * * * *"}, "/cron", "minutes of 0-59"),
        ({"cron": "0 0 30 2 *"}, "/cron", "days of the month that are there"),
        ({"cron": "x" * 201}, "/cron", "five fields"),
        ({"timeZone": "Mars/Olympus"}, "/timeZone", "the name of a time zone"),
        ({"timeZone": "../../etc/passwd"}, "/timeZone", "the name of a time zone"),
        ({"name": "a b"}, "/name", "1 to 100 letters"),
        ({"name": 5}, "/name", "1 to 100 letters"),
        ({"title": " "}, "/title", "1 to 200 characters"),
        ({"type": "unheard"}, "/type", "no worker has registered"),
        ({"type": "resize"}, "/payload", "required"),
        ({"type": "resize", "payload": {"url": 5}}, "/payload/url", "string"),
        ({"queue": ""}, "/queue", "1 to 100 letters"),
        ({"priority": 101}, "/priority", "-100 to 100"),
        ({"maxAttempts": 0}, "/maxAttempts", "1 to 100"),
        ({"timeoutSeconds": 0}, "/timeoutSeconds", "0.1 to 86400"),
        ({"misfire": "some"}, "/misfire", "one of skip, once, all"),
        ({"misfireGraceSeconds": -1}, "/misfireGraceSeconds", "0 to 604800"),
        ({"overlap": "allow"}, "/overlap", "one of skip, queue, cancel"),
        ({"crn": 1}, "/crn", "no member of this name"),
    ],
    ids=str,
)
async def test_each_rule_is_named(
    house: House, change: dict[str, Any], pointer: str, detail: str
) -> None:
    """422 with where and what; never with what was sent."""
    body = {"name": "nightly", "cron": "@daily"} | change
    reply = await house.ask("POST", "/schedules", json=body)

    assert reply.status == 422
    (error,) = reply.json["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]
    assert b"Mars" not in reply.body
    assert b"passwd" not in reply.body


async def test_all_that_is_wrong_is_said_at_once(house: House) -> None:
    """And what is missing; a body that is no object is another matter."""
    reply = await house.ask("POST", "/schedules", json={"priority": "x"})

    assert [error["pointer"] for error in reply.json["errors"]] == ["/priority", "/name", "/cron"]
    for body in (b"[]", b"{", b'{"name":"a","name":"a","cron":"@daily"}'):
        reply = await house.ask(
            "POST", "/schedules", data=body, headers={"Content-Type": "application/json"}
        )
        assert codes(reply) == (400, "malformed")


# ---- changing


async def test_put_makes_and_replaces(house: House) -> None:
    """201, then 200; what is left out is as usual again."""
    first = await house.ask("PUT", "/schedules/nightly", json=NIGHTLY)
    second = await house.ask("PUT", "/schedules/nightly", json={"cron": "@daily"})

    assert (first.status, first.headers["Location"]) == (201, "/schedules/nightly")
    assert (second.status, second.json["cron"], second.json["title"]) == (200, "@daily", "nightly")
    assert await acts(house) == [
        ("schedule create nightly", "olga"),
        ("schedule change nightly", "olga"),
    ]


async def test_a_change_is_guarded_by_the_validator_that_was_seen(house: House) -> None:
    """The second of two who change the same thing is told: 412, and the first one's stands."""
    seen = (await made(house)).headers["ETag"]
    mine = {"If-Match": seen}

    first = await house.ask("PUT", "/schedules/nightly", json={"cron": "@daily"}, headers=mine)
    second = await house.ask("PUT", "/schedules/nightly", json={"cron": "@weekly"}, headers=mine)
    fresh = {"If-Match": f'"other", {first.headers["ETag"]}'}
    third = await house.ask("PUT", "/schedules/nightly", json={"cron": "@weekly"}, headers=fresh)

    assert [first.status, codes(second), third.status] == [200, (412, "changed"), 200]
    stale = {"If-Match": first.headers["ETag"]}
    for method, path in (("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        reply = await house.ask(method, f"/schedules/nightly{path}", headers=stale)
        assert codes(reply) == (412, "changed")


async def test_preconditions_of_what_is_there_or_not(house: House) -> None:
    """`*` is any; a weak validator proves nothing."""
    put = {"json": {"cron": "@daily"}}
    path = "/schedules/nightly"

    assert (await house.ask("PUT", path, headers={"If-Match": "*"}, **put)).status == 412
    assert (await house.ask("PUT", path, headers={"If-None-Match": "*"}, **put)).status == 201
    assert (await house.ask("PUT", path, headers={"If-None-Match": "*"}, **put)).status == 412
    assert (await house.ask("PUT", path, headers={"If-Match": "*"}, **put)).status == 200
    tag = (await house.ask("GET", path)).headers["ETag"]
    assert (await house.ask("PUT", path, headers={"If-Match": f"W/{tag}"}, **put)).status == 412


async def test_a_run_changes_the_validator_and_nobodys_change_is_lost(house: House) -> None:
    """Whoever has looked before the last run may change it still."""
    seen = (await made(house)).headers["ETag"]
    before = await house.ask("GET", "/schedules/nightly")
    same = await house.ask(
        "GET", "/schedules/nightly", headers={"If-None-Match": before.headers["ETag"]}
    )
    await fire(house)
    after = await house.ask(
        "GET", "/schedules/nightly", headers={"If-None-Match": before.headers["ETag"]}
    )

    assert (same.status, after.status) == (304, 200)
    assert after.json["lastRun"]["status"] == "Pending"
    assert after.json["lastTask"]["id"] == after.json["lastRun"]["taskId"]
    reply = await house.ask(
        "PUT", "/schedules/nightly", json={"cron": "@daily"}, headers={"If-Match": seen}
    )
    assert reply.status == 200


async def test_it_is_deleted_and_its_runs_are_still_told(house: House) -> None:
    """204, then 404."""
    await made(house)
    await fire(house)

    assert (await house.ask("DELETE", "/schedules/nightly")).status == 204

    assert codes(await house.ask("GET", "/schedules/nightly")) == (404, "no-schedule")
    assert codes(await house.ask("DELETE", "/schedules/nightly")) == (404, "no-schedule")
    assert len((await house.ask("GET", "/schedules/nightly/runs")).json["items"]) == 1
    assert (await acts(house))[-1] == ("schedule delete nightly", "olga")


@pytest.mark.parametrize("source", [Source.CONFIG, Source.CODE])
async def test_what_is_declared_is_paused_here_and_changed_there(
    house: House, source: Source
) -> None:
    """409 says where; what code has declared may be deleted."""
    asked = Definition(name="nightly", cron="@daily", title="x")
    next_at = datetime.now(UTC) + timedelta(hours=1)
    await house.put(
        DeclareSchedules(source=source, place="shop", schedules=[(asked, next_at)], by="worker-1")
    )

    put = await house.ask("PUT", "/schedules/nightly", json={"cron": "@daily"})
    paused = await house.ask("POST", "/schedules/nightly/pause")
    deleted = await house.ask("DELETE", "/schedules/nightly")

    assert codes(put) == (409, "declared")
    assert source.name.title()[:4] in put.json["detail"] or "configuration" in put.json["detail"]
    assert (paused.status, paused.json["paused"], paused.json["place"]) == (200, True, "shop")
    assert deleted.status == (409 if source is Source.CONFIG else 204)


# ---- pausing and running


async def test_a_pause_and_a_resume(house: House) -> None:
    """Each once in the audit log; while it is paused there is no next run."""
    await made(house)

    for _ in range(2):
        paused = await house.ask("POST", "/schedules/nightly/pause")
        assert (paused.status, paused.json["paused"], paused.json["nextRuns"]) == (200, True, [])
    for _ in range(2):
        resumed = await house.ask("POST", "/schedules/nightly/resume")
        assert (resumed.status, resumed.json["paused"]) == (200, False)
        assert len(resumed.json["nextRuns"]) == 5

    assert [act for act, _ in await acts(house)] == [
        "schedule create nightly",
        "schedule pause nightly",
        "schedule resume nightly",
    ]
    assert len(house.said(ActAudited)) == 3


async def test_it_is_run_now(house: House) -> None:
    """A task of its type, with the defaults of that; the audit log names the task."""
    await made(house, **NIGHTLY)

    reply = await house.ask("POST", "/schedules/nightly/run")

    made_task = await house.ask("GET", reply.headers["Location"])
    assert (reply.status, reply.json["outcome"]) == (201, "fired")
    assert reply.json["taskId"] == made_task.json["id"]
    assert (made_task.json["queue"], made_task.json["maxAttempts"]) == ("images", 3)
    assert (made_task.json["payload"], made_task.json["createdBy"]) == (
        {"url": "x"},
        "schedule:nightly",
    )
    entry = (await house.store.audit(AuditQuery())).items[0]
    assert (entry.message, entry.task_id) == ("schedule run nightly", made_task.json["id"])
    again = await house.ask("POST", "/schedules/nightly/run")
    assert (again.status, again.json["outcome"], again.json["taskId"]) == (202, "waiting", None)
    assert (await house.ask("GET", "/schedules/nightly")).json["waiting"] == 1


async def test_what_may_not_overlap_is_not_run(house: House) -> None:
    """409 while the run before goes on, and no mark of what was not done."""
    await made(house)
    await house.ask("POST", "/schedules/nightly/run")

    reply = await house.ask("POST", "/schedules/nightly/run")

    assert codes(reply) == (409, "overlapping")
    assert [act for act, _ in await acts(house)].count("schedule run nightly") == 1


async def test_the_last_result_is_there(house: House) -> None:
    """With the task as a whole: status, result, error, times."""
    await made(house)
    id_ = (await house.ask("POST", "/schedules/nightly/run")).json["taskId"]
    owner = "host/worker-1/1f"
    claim = Claim(owner=owner, limit=1, lease=15, types=["simulate"])  # type: ignore[arg-type]
    ((claimed),) = await house.put(claim)
    (lease,) = claimed.leases  # type: ignore[union-attr]
    await house.put(Finish(id=id_, fence=lease.fence, status=Status.DONE, result=b'{"n":1}'))

    told = (await house.ask("GET", "/schedules/nightly")).json

    assert (told["lastRun"]["status"], told["lastTask"]["result"]) == ("Done", {"n": 1})
    assert told["lastRun"]["finishedAt"] == told["lastTask"]["finishedAt"]


@pytest.mark.parametrize("act", ["pause", "resume", "run"])
async def test_acts_on_nothing_are_404(house: House, act: str) -> None:
    """Names that could be, and others."""
    for name in ("nightly", "a%20b", "%00", "x" * 101):
        reply = await house.ask("POST", f"/schedules/{name}/{act}")
        assert codes(reply) == (404, "no-schedule")


# ---- lists


async def test_pages_are_by_name(house: House) -> None:
    """Each once; `next` leads on."""
    for name in ("c", "a", "b"):
        await made(house, name)

    first = (await house.ask("GET", "/schedules?limit=2")).json
    second = (await house.ask("GET", f"/schedules?limit=2&cursor={first['next']}")).json

    names = [item["name"] for page in (first, second) for item in page["items"]]
    assert (names, second["next"]) == (["a", "b", "c"], None)


async def test_a_page_of_large_schedules_ends_early(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is bounded whatever payloads there are."""
    monkeypatch.setattr("taskhub.http.schedules.looking.PAGE_BYTES", 1_500)
    for name in ("a", "b", "c"):
        await made(house, name, payload={"x": "y" * 500})

    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await house.ask("GET", f"/schedules{cursor and f'?cursor={cursor}'}")).json
        assert len(page["items"]) == 1
        found += [item["name"] for item in page["items"]]
        cursor = page["next"]

    assert found == ["a", "b", "c"]


async def test_runs_are_told_page_by_page(house: House) -> None:
    """Newest first, with what became of each."""
    await made(house)
    await fire(house)
    for _ in range(2):
        await fire(house)

    first = (await house.ask("GET", "/schedules/nightly/runs?limit=2")).json
    second = (await house.ask("GET", f"/schedules/nightly/runs?cursor={first['next']}")).json

    runs = first["items"] + second["items"]
    assert [(run["outcome"], run["reason"]) for run in runs] == [
        ("skipped", "overlap"),
        ("skipped", "overlap"),
        ("fired", ""),
    ]
    assert runs[2]["status"] == "Pending"
    stored = await house.store.runs(RunQuery(schedule="nightly"))
    assert [run["manual"] for run in runs] == [run.manual for run in stored.items]
    assert codes(await house.ask("GET", "/schedules/other/runs")) == (404, "no-schedule")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/schedules?cursor=a/b", "/cursor"),
        ("/schedules?limit=0", "/limit"),
        ("/schedules?q=x", ""),
        ("/schedules/nightly?x=1", ""),
        ("/schedules/nightly/runs?cursor=x", "/cursor"),
        ("/schedules/nightly/runs?cursor=99999999999999999999", "/cursor"),
        ("/cron", "/expression"),
        ("/cron?expression=x", "/expression"),
        ("/cron?expression=@daily&expression=@daily", "/expression"),
        ("/cron?expression=@daily&timeZone=Mars", "/timeZone"),
        ("/cron?expression=@daily&count=0", "/count"),
        ("/cron?expression=@daily&count=21", "/count"),
        (f"/cron?expression={'1' * 201}", "/expression"),
    ],
)
async def test_what_is_not_understood_is_named(house: House, path: str, pointer: str) -> None:
    """400, and where."""
    reply = await house.ask("GET", path)

    assert reply.status == 400
    assert [error["pointer"] for error in reply.json["errors"]] == [pointer]


async def test_an_expression_is_explained(house: House) -> None:
    """Before anything is made of it."""
    query = {"expression": "0 6 * * MON-FRI", "timeZone": "Europe/Berlin", "count": "3"}

    told = (await house.ask("GET", "/cron", params=query)).json

    assert told["words"] == "At 06:00 on Monday through Friday (Europe/Berlin)"
    assert len(told["nextRuns"]) == 3
    assert all(datetime.fromisoformat(text).utcoffset() == timedelta() for text in told["nextRuns"])
