"""GET /tasks and GET /tasks/{id}: pages, filters, validators, and waiting for the end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from taskhub.model import Owner, Status
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import House, bearer
from tests.waiting import until

UNKNOWN = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"


async def end(house: House, count: int = 1) -> list[str]:
    """Claim so many tasks and finish them, as a worker would."""
    claim = Claim(owner=Owner("h/u/n"), limit=count, lease=15.0, types=("simulate",))
    (claimed,) = await house.put(claim)
    assert isinstance(claimed, Claimed)
    for lease in claimed.leases:
        await house.put(
            Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE, result=b'{"ok":true}')
        )
    return [lease.item.id for lease in claimed.leases]


async def titles(house: House, query: str = "") -> list[str]:
    """The titles of a page, in its order."""
    reply = await house.ask("GET", f"/tasks{query}")
    assert reply.status == 200, reply.body
    return [item["title"] for item in reply.json["items"]]


async def test_pages_are_newest_first_and_complete(house: House) -> None:
    """Walking by the cursor shows each task once, also while new ones come."""
    for number in range(5):
        await house.create(title=str(number))

    first = (await house.ask("GET", "/tasks?limit=2")).json
    await house.create(title="new")
    second = (await house.ask("GET", f"/tasks?limit=2&cursor={first['next']}")).json
    third = (await house.ask("GET", f"/tasks?limit=2&cursor={second['next']}")).json

    shown = [item["title"] for page in (first, second, third) for item in page["items"]]
    assert shown == ["4", "3", "2", "1", "0"]
    assert third["next"] is None


async def test_filters_choose(house: House) -> None:
    """By status, type, queue and time of creation, alone and together."""
    await house.create(title="done")
    await end(house)
    await house.create(title="plain")
    await house.create(title="image", type="resize", payload={"url": "u"})
    await house.create(title="other", queue="other")

    assert await titles(house, "?status=Done") == ["done"]
    assert await titles(house, "?type=resize") == ["image"]
    assert await titles(house, "?queue=images") == ["image"]
    assert await titles(house, "?status=Pending&type=simulate&queue=default") == ["plain"]
    assert await titles(house, "?status=Failed") == []


async def test_times_bound_the_page(house: House) -> None:
    """From a time on, before a time; a `+` that came unescaped is understood."""
    made = await house.create(title="x")
    at = datetime.fromisoformat(made["createdAt"])
    east = (at + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "+02:00"

    assert await titles(house, f"?createdFrom={made['createdAt']}") == ["x"]
    assert await titles(house, f"?createdTo={made['createdAt']}") == []
    assert await titles(house, f"?createdFrom={east}") == ["x"]
    assert await titles(house, "?createdTo=9999-01-01T00:00:00Z") == ["x"]


BAD_QUERIES = [
    "limit=-1",
    "limit=0",
    "limit=201",
    "limit=1000000000",
    "limit=1e3",
    "limit=%D9%A3",
    "limit=",
    "limit=1&limit=99999",
    "limit=1_0",
    "limit=+1",
    "status=done",
    "status=';DROP TABLE tasks;--",
    "sort=title",
    "cursor=forged",
    "cursor=%00",
    "cursor=019AA1D2-8C6E-7B53-9A43-1D3C5A0F9E21",
    "type=%ff",
    "queue=default%0A",
    "groupKey=",
    "groupKey=a%0A",
    "createdFrom=yesterday",
    "createdFrom=2026-11-24T10:00:00",
    "createdTo=0001-01-01T00:00:00%2B10:00",
    "createdTo=99999-01-01T00:00:00Z",
]


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_a_bad_parameter_is_named(house: House, query: str) -> None:
    """A typing mistake is told, not taken for `everything`."""
    reply = await house.ask("GET", f"http://127.0.0.1:{house.port}/tasks?{query}")

    assert reply.status == 400
    (error,) = reply.json["errors"]
    name = query.partition("=")[0]
    assert error["pointer"] == ("" if name == "sort" else f"/{name}")
    assert b"DROP" not in reply.body


async def test_a_page_ends_early_when_its_tasks_are_large(house: House) -> None:
    """200 tasks of a megabyte are not one answer; the cursor stands where it was cut."""
    for number in range(6):
        await house.create(title=str(number), payload="x" * 1_000_000)

    first = (await house.ask("GET", "/tasks")).json
    rest = (await house.ask("GET", f"/tasks?cursor={first['next']}")).json

    shown = [item["title"] for page in (first, rest) for item in page["items"]]
    assert len(first["items"]) == 4
    assert shown == ["5", "4", "3", "2", "1", "0"]


async def test_a_validator_saves_the_body(house: House) -> None:
    """304 as long as nothing changed, in each form that clients send it; then the new state."""
    made = await house.create()
    path = f"/tasks/{made['id']}"
    tag = (await house.ask("GET", path)).headers["ETag"]

    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = await house.ask("GET", path, headers={"If-None-Match": known})
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    await end(house)
    changed = await house.ask("GET", path, headers={"If-None-Match": tag})
    assert (changed.status, changed.json["status"]) == (200, "Done")
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize(
    "path",
    [
        f"/tasks/{UNKNOWN}",
        f"/tasks/{UNKNOWN.upper()}",
        "/tasks/%00",
        "/tasks/%2e%2e",
        "/tasks/a%2Fb",
        "/tasks/%ff",
        "//tasks",
        "/tasks/",
        "/TASKS",
        "/tasks/9223372036854775808",
        "/tasks/-1",
        "/tasks/+1",
        "/tasks/1_0",
        "/tasks/%D9%A1",
        "/tasks/..%2f..%2fetc%2fpasswd",
        f"/tasks/{UNKNOWN}%0A",
        f"/tasks/{UNKNOWN}/",
        "/",
        "/favicon.ico",
        "*",
    ],
)
async def test_what_is_not_there_is_404(house: House, path: str) -> None:
    """Never 500, whatever stands in the path; and a problem as everywhere."""
    answer = await house.raw(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {bearer()['Authorization']}\r\n\r\n".encode()
    )

    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"application/problem+json" in answer


async def test_waiting_ends_with_the_task(house: House) -> None:
    """The bell makes it quick: no poll is needed."""
    made = await house.create()
    house.context.waiters._poll = 60.0

    waiting = asyncio.ensure_future(house.ask("GET", f"/tasks/{made['id']}?wait=30"))
    await waits(house, 1)
    await end(house)
    house.context.waiters.rang(frozenset({"ended"}))

    reply = await waiting
    assert (reply.status, reply.json["status"]) == (200, "Done")
    assert reply.json["result"] == {"ok": True}


async def test_waiting_needs_no_bell(house: House) -> None:
    """Bells may be lost: the poll finds the end too."""
    made = await house.create()

    waiting = asyncio.ensure_future(house.ask("GET", f"/tasks/{made['id']}?wait=30"))
    await waits(house, 1)
    await end(house)

    assert (await waiting).json["status"] == "Done"


async def test_the_time_over_the_task_is_shown_as_it_is(house: House) -> None:
    """A wait is no promise; the client asks again."""
    made = await house.create()

    reply = await house.ask("GET", f"/tasks/{made['id']}?wait=0.2")

    assert (reply.status, reply.json["status"]) == (200, "Pending")


async def test_an_ended_task_is_not_waited_for(house: House) -> None:
    """What is final is answered at once; what is not there as well."""
    made = await house.create()
    await end(house)

    reply = await house.ask("GET", f"/tasks/{made['id']}?wait=60")
    missing = await house.ask("GET", f"/tasks/{UNKNOWN}?wait=60")

    assert reply.json["status"] == "Done"
    assert missing.status == 404


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1e2", "1e400", "", "0x1", "1&wait=2"])
async def test_a_wait_has_its_form_and_its_limit(house: House, wait: str) -> None:
    """Up to a minute, as a plain number."""
    reply = await house.ask("GET", f"/tasks/{UNKNOWN}?wait={wait}")

    assert reply.status == 400


async def test_more_waiters_than_the_limit_are_sent_away_at_once(house: House) -> None:
    """Each holds a connection and memory: the fifth of four is told to come back."""
    made = await house.create()
    path = f"/tasks/{made['id']}?wait=30"

    waiting = [asyncio.ensure_future(house.ask("GET", path)) for _ in range(4)]
    await waits(house, 4)
    fifth = await house.ask("GET", path)
    wish = await house.ask("POST", "/tasks", json={"title": "x"}, headers={"Prefer": "wait=9"})
    await end(house, 2)

    assert (fifth.status, fifth.headers["Retry-After"]) == (503, "1")
    assert (wish.status, wish.json["status"]) == (201, "Pending")  # only a wish: it is stored
    assert {(await one).json["status"] for one in waiting} == {"Done"}


async def waits(house: House, count: int) -> None:
    """Return when so many requests wait."""
    await until(lambda: house.context.waiters._count == count)


async def test_a_head_is_a_get_without_its_body(house: House) -> None:
    """RFC 9110, 9.3.2: the same header fields, no content."""
    made = await house.create()

    for path in (f"/tasks/{made['id']}", "/health", "/openapi.json"):
        whole = await house.ask("GET", path)
        head = await house.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))
