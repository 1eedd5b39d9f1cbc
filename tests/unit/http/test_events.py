"""Events over HTTP: live, resumed without a gap, filtered, and ended in peace."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from taskhub.bus import KINDS
from taskhub.config.sections import CorsSection
from taskhub.errors import StoreDown
from taskhub.http import flow, server
from taskhub.http.connection import Connection
from taskhub.http.live import listener
from taskhub.http.live.listener import Listener
from taskhub.model import Lease, Owner, Status
from taskhub.obs.telemetry import EventsDelivered, ListenerDropped, ListenersChanged, RequestServed
from taskhub.ports import Cancel, Claim, Claimed, EventPage, EventQuery, Finish, Progress, Prune

from tests.unit.http.ear import STREAM, Ear, listening, names
from tests.unit.http.house import CONFIG, House, bearer, open_house, tuned
from tests.waiting import until

WORKER = Owner("host/worker-1/nonce")
APP = "https://app.example.com"
ERROR = "no luck " * 400


async def claimed(house: House) -> Lease:
    """A task begins."""
    claim = Claim(owner=WORKER, limit=1, lease=60, types=("simulate", "resize"))
    (result,) = await house.put(claim)
    assert isinstance(result, Claimed)
    house.context.live.rang(KINDS)
    return result.leases[0]


async def ended(house: House, lease: Lease, status: Status = Status.DONE, **fields: Any) -> None:
    """Its attempt ends."""
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=status, **fields))
    house.context.live.rang(KINDS)


async def created(house: House, count: int = 1, **members: Any) -> list[str]:
    """New tasks, and the bell."""
    ids = [(await house.create(**members))["id"] for _ in range(count)]
    house.context.live.rang(KINDS)
    return ids


async def pruned(house: House) -> None:
    """All events but the newest are gone."""
    now, old = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=9)
    await house.put(Prune(tasks_before=old, events_before=now, audit_before=old))


async def test_a_listener_hears_what_happens_from_now_on(house: House) -> None:
    """In the shape that is promised: four members as on the event server's channel, and the seq."""
    await created(house)
    async with listening(house) as ear:
        task = await house.create(title="Zoë's \u201cimages\u201d \u2028 \U0001f3a8")
        house.context.live.rang(KINDS)
        (heard,) = await ear.some(1)

    assert (heard.event, heard.id) == ("TaskCreated", "2")
    assert list(heard.data) == ["type", "id", "title", "at", "seq"]
    assert heard.data["title"] == task["title"]
    assert (heard.data["id"], heard.data["seq"]) == (task["id"], 2)
    assert ear.answer.headers["Content-Type"] == STREAM
    assert ear.answer.headers["Cache-Control"] == "no-store, no-transform"
    assert ear.answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in ear.answer.headers
    assert ear.retries
    assert [(s.route, s.status) for s in house.said(RequestServed)][-1] == ("/tasks", 201)


async def test_words_of_handlers_come_along_on_one_line(house: House) -> None:
    """Progress with line breaks in it would end the frame; an error is told where there is one."""
    await created(house, payload={})
    async with listening(house) as ear:
        lease = await claimed(house)
        said = b'{"fraction":\r\n0.5,\n"text":"a\\nb"}'
        await house.put(Progress(id=lease.item.id, fence=lease.fence, data=said))
        await ended(house, lease, Status.FAILED, error="no\nluck")
        heard = await ear.some(3)

    assert names(heard) == ["TaskStarted", "TaskProgress", "TaskFailed"]
    assert heard[1].data["progress"] == {"fraction": 0.5, "text": "a\nb"}
    assert heard[2].data["error"] == "no\nluck"
    assert "error" not in heard[1].data


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("event=TaskDone", ["TaskDone"]),
        ("event=TaskDone,TaskStarted", ["TaskStarted", "TaskStarted", "TaskDone"]),
        ("status=Pending", ["TaskCreated", "TaskCreated"]),
        ("status=Done,Cancelled", ["TaskDone", "TaskCancelled"]),
        ("type=resize", ["TaskCreated", "TaskStarted", "TaskCancelled"]),
        ("queue=images&status=Processing", ["TaskStarted"]),
        ("task={first}", ["TaskCreated", "TaskStarted", "TaskDone"]),
        ("task={first}&type=resize", []),
    ],
)
async def test_filters_let_through_what_fits_all_of_them(
    house: House, query: str, wanted: list[str]
) -> None:
    """Of what was before and of what comes, by the same rule."""
    (first,) = await created(house)
    async with listening(house, f"/events?{query.format(first=first)}", Last_Event_ID="0") as ear:
        await created(house, type="resize", payload={"url": "x"})
        lease, other = await claimed(house), await claimed(house)
        await ended(house, lease)
        await ended(house, other, Status.CANCELLED)
        heard = await ear.some(len(wanted))
        await until(lambda: _has_heard(house))
        house.context.live.close()
        assert names(heard + await ear.rest()) == wanted


def _has_heard(house: House) -> bool:
    live = house.context.live
    return live.ring.newest == 6 and all(each.position == 6 for each in live._listeners)


@pytest.mark.parametrize(
    "query",
    [
        "event=TaskEnded",
        "event=",
        "event=TaskDone,",
        "status=done",
        "task=1",
        "type=a%20b",
        "colour=red",
        "queue=a&queue=b",
    ],
)
async def test_a_filter_that_is_none_is_refused(house: House, query: str) -> None:
    """With the parameter and its rule."""
    reply = await house.ask("GET", f"/events?{query}")

    assert reply.status == 400
    assert reply.json["errors"][0]["detail"]


@pytest.mark.parametrize("last", [0, 1, 3, 4])
async def test_who_comes_again_misses_nothing_and_hears_nothing_twice(
    house: House, last: int
) -> None:
    """What was before, and what happens while it catches up."""
    await created(house, 4)
    async with listening(house, Last_Event_ID=str(last)) as ear:
        await created(house, 2)
        heard = await ear.some(6 - last)

    assert [each.id for each in heard] == [str(number) for number in range(last + 1, 7)]


async def test_catching_up_takes_many_pages_and_joins_the_present(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While more and more happens."""
    monkeypatch.setattr(listener, "PAGE", 3)
    monkeypatch.setattr(listener, "PIECE", 300)
    await created(house, 20)
    async with listening(house) as other, listening(house, Last_Event_ID="0") as ear:
        writing = asyncio.create_task(created(house, 20))
        heard = await ear.some(40)
        await writing
        assert len(await other.some(20)) == 20

    assert [each.data["seq"] for each in heard] == list(range(1, 41))


@pytest.mark.parametrize("given", ["99", "nonsense", "-1", "9" * 40, "1.5"])
async def test_an_id_of_another_database_is_answered_with_a_reset(house: House, given: str) -> None:
    """Once and clearly; then it goes on from now, and may resume from there."""
    await created(house, 3)
    async with listening(house, Last_Event_ID=given) as ear:
        await created(house)
        reset, heard = await ear.some(2)

    assert (reset.event, reset.id, reset.data) == ("reset", "3", {"oldest": 1, "newest": 3})
    assert (heard.event, heard.id) == ("TaskCreated", "4")


async def test_an_id_whose_followers_were_pruned_is_answered_with_a_reset(house: House) -> None:
    """Who has seen the newest of those that are gone has missed nothing."""
    await created(house, 5)
    await pruned(house)
    async with (
        listening(house, Last_Event_ID="3") as late,
        listening(house, Last_Event_ID="4") as early,
    ):
        (reset,), (heard,) = await late.some(1), await early.some(1)

    assert (reset.event, reset.id, reset.data) == ("reset", "5", {"oldest": 5, "newest": 5})
    assert (heard.event, heard.id) == ("TaskCreated", "5")


async def test_a_table_that_was_put_in_the_place_of_another_resets_who_listens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup was restored: numbers begin anew, and nobody waits for one that never comes."""
    read, offset = house.store.events, 1_000

    async def shifted(query: EventQuery) -> EventPage:
        page = await read(msgspec.structs.replace(query, after=max(0, query.after - offset)))
        items = [msgspec.structs.replace(each, seq=each.seq + offset) for each in page.items]
        return EventPage(items, page.oldest + offset, page.newest + offset)

    await created(house, 3)
    monkeypatch.setattr(house.store, "events", shifted)
    monkeypatch.setattr(house.context.live, "_read", shifted)
    async with listening(house, Last_Event_ID="1002") as ear:
        assert [each.id for each in await ear.some(1)] == ["1003"]
        offset = 0
        (reset,) = await ear.some(1)
        await created(house)
        (heard,) = await ear.some(1)

    assert (reset.event, reset.id, reset.data) == ("reset", "3", {"oldest": 1, "newest": 3})
    assert (heard.event, heard.id) == ("TaskCreated", "4")


async def test_a_lost_bell_costs_a_second_at_most(house: House) -> None:
    """Nobody rings here at all."""
    async with listening(house) as ear:
        await house.create()
        assert names(await ear.some(1)) == ["TaskCreated"]


async def test_nobody_listens_so_nothing_is_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle API costs the database nothing, however often it rings."""
    asked: list[EventQuery] = []
    read = house.context.live._read

    async def counted(query: EventQuery) -> EventPage:
        asked.append(query)
        return await read(query)

    monkeypatch.setattr(house.context.live, "_read", counted)
    await created(house, 3)
    assert asked == []
    async with listening(house, Last_Event_ID="0") as ear:
        await ear.some(3)
    await until(lambda: house.context.live.ring._frames == [])
    await until(lambda: not house.context.live._listeners)
    before = len(asked)
    await created(house, 3)

    assert len(asked) == before


async def test_one_tail_reads_for_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred listeners cost the database what one does."""
    async with _crowd(house, 20) as ears:
        await until(lambda: len(house.context.live._listeners) == 20)
        await asyncio.gather(*(_is_live(ear, house) for ear in ears[:1]))
        asked: list[EventQuery] = []
        read = house.context.live._read

        async def counted(query: EventQuery) -> EventPage:
            asked.append(query)
            return await read(query)

        monkeypatch.setattr(house.context.live, "_read", counted)
        await created(house, 5)
        heard = await asyncio.gather(*(ear.some(6) for ear in ears[1:]))

    assert all(names(each) == ["TaskCreated"] * 6 for each in heard)
    assert {query.task for query in asked} == {None}
    assert len([query for query in asked if query.after]) < 20


async def _is_live(ear: Ear, house: House) -> None:
    await created(house)
    assert names(await ear.some(1)) == ["TaskCreated"]


@asynccontextmanager
async def _crowd(house: House, count: int) -> AsyncIterator[list[Ear]]:
    """Many ears at once."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(listening(house)) for _ in range(count)]


async def test_silence_is_broken_by_a_beat_that_moves_the_id_along(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies see life; and who wants little need not go through all again that it did not want."""
    monkeypatch.setattr(listener, "BEAT", 0.3)
    async with listening(house, "/events?event=TaskCancelled") as ear:
        await created(house, 3)
        reading = asyncio.create_task(ear.next())
        await until(lambda: ear.last_id == "3")
        assert ear.beats > 0
        await house.put(Cancel(id=(await house.create())["id"]))
        heard = await reading

    assert heard is not None
    assert (heard.event, heard.id) == ("TaskCancelled", "5")


# ---- one task ----


async def test_a_task_is_followed_from_its_beginning_to_its_end(house: House) -> None:
    """Then the stream says so and ends; the connection lives on."""
    (task,) = await created(house)
    await created(house, delaySeconds=60)
    async with listening(house, f"/tasks/{task}/events") as ear:
        assert names(await ear.some(1)) == ["TaskCreated"]
        lease = await claimed(house)
        await ended(house, lease, Status.PENDING, error="again", run_at=datetime.now(UTC))
        await ended(house, await claimed(house))
        heard = await ear.rest()
        assert ear.answer.headers["Transfer-Encoding"] == "chunked"

    assert names(heard) == ["TaskStarted", "TaskRetrying", "TaskStarted", "TaskDone", "end"]
    assert {each.data["id"] for each in heard[:-1]} == {task}
    assert (heard[-1].id, heard[-1].data) == (heard[-2].id, {})


async def test_the_stream_of_an_ended_task_is_its_history(house: House) -> None:
    """And who has it all already is told the end alone."""
    (task,) = await created(house)
    await ended(house, await claimed(house))
    async with listening(house, f"/tasks/{task}/events") as ear:
        heard = await ear.rest()
    async with listening(house, f"/tasks/{task}/events", Last_Event_ID=heard[-1].id) as ear:
        again = await ear.rest()
    async with listening(house, f"/tasks/{task}/events", Last_Event_ID="1") as ear:
        rest = await ear.rest()

    assert names(heard) == ["TaskCreated", "TaskStarted", "TaskDone", "end"]
    assert names(again) == ["end"]
    assert names(rest) == ["TaskStarted", "TaskDone", "end"]


async def test_a_task_whose_id_to_resume_from_is_lost_is_told_anew(house: House) -> None:
    """Its history is short: the whole of it comes again, after the reset."""
    (task,) = await created(house)
    await ended(house, await claimed(house))
    async with listening(house, f"/tasks/{task}/events", Last_Event_ID="77") as ear:
        heard = await ear.rest()

    assert names(heard) == ["reset", "TaskCreated", "TaskStarted", "TaskDone", "end"]


async def test_the_history_is_json_page_by_page(house: House) -> None:
    """The form that one gets without asking for another."""
    (task,) = await created(house)
    await ended(house, await claimed(house), Status.FAILED, error="no luck")

    first = (await house.ask("GET", f"/tasks/{task}/events?limit=2")).json
    rest = (await house.ask("GET", f"/tasks/{task}/events?after={first['next']}")).json
    whole = await house.ask("GET", f"/tasks/{task}/events")

    assert [event["type"] for event in first["items"]] == ["TaskCreated", "TaskStarted"]
    assert [event["error"] for event in rest["items"]] == ["no luck"]
    assert rest["next"] is None
    assert whole.json["items"] == first["items"] + rest["items"]
    assert whole.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", [STREAM, "application/json"])
async def test_there_is_no_history_of_nothing(house: House, accept: str) -> None:
    """Neither form."""
    for id_ in ("019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21", "x"):
        reply = await house.ask("GET", f"/tasks/{id_}/events", headers={"Accept": accept})
        assert (reply.status, reply.json["type"]) == (404, "urn:taskhub:problem:not-found")


# ---- HTTP ----


async def test_only_a_stream_of_all_events_is_there(house: House) -> None:
    """Who wants nothing but JSON is told so; a browser that takes anything gets the stream."""
    reply = await house.ask("GET", "/events", headers={"Accept": "application/json"})
    async with listening(house, Accept="*/*") as ear:
        assert ear.answer.headers["Content-Type"] == STREAM

    assert (reply.status, reply.json["type"]) == (406, "urn:taskhub:problem:not-acceptable")


@pytest.mark.parametrize("path", ["/events", "/tasks/{id}/events"])
async def test_the_head_alone_can_be_asked_for(house: House, path: str) -> None:
    """It ends at once, and nobody listens."""
    (task,) = await created(house)

    reply = await house.ask("HEAD", path.format(id=task), headers={"Accept": STREAM})

    assert (reply.status, reply.headers["Content-Type"]) == (200, STREAM)
    assert reply.body == b""
    assert house.said(ListenersChanged) == []


def _request(version: str, path: str = "/events", **fields: str) -> bytes:
    given = bearer() | {"Host": "x", "Accept": STREAM} | fields
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"GET {path} HTTP/{version}\r\n{lines}\r\n".encode()


@pytest.mark.wire
async def test_http_1_0_reads_until_the_connection_ends(house: House) -> None:
    """No chunks, whatever it says of keeping the connection."""
    (task,) = await created(house)
    await ended(house, await claimed(house))

    text = await house.raw(_request("1.0", f"/tasks/{task}/events", Connection="keep-alive"))

    head, _, body = text.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"keep-alive" not in head
    assert body.startswith(b"retry: ")
    assert body.count(b"event: ") == 4
    assert body.endswith(b"event: end\ndata: {}\n\n")


@pytest.mark.wire
async def test_a_connection_goes_on_after_a_stream(house: House) -> None:
    """Keep-alive, and a second request that was sent ahead."""
    (task,) = await created(house)
    await ended(house, await claimed(house))
    first = _request("1.1", f"/tasks/{task}/events")
    second = _request("1.1", "/health", Connection="close")

    text = await house.raw(first + second)

    assert text.count(b"HTTP/1.1 200 OK") == 2
    assert b"\r\n0\r\n\r\nHTTP/1.1" in text


async def test_pages_of_other_origins_may_listen(tmp_path: Path, empty_database: Path) -> None:
    """The fields of CORS are on the stream's head; others learn nothing."""
    config = msgspec.structs.replace(CONFIG, cors=CorsSection(origins=(APP,)))
    async with open_house(tmp_path, empty_database, config) as house:
        async with listening(house, Origin=APP) as ear:
            await created(house)
            assert names(await ear.some(1)) == ["TaskCreated"]
            headers = ear.answer.headers
            assert headers["Access-Control-Allow-Origin"] == APP
            assert "Origin" in headers.getall("Vary")
        async with listening(house) as ear:
            assert "Origin" in ear.answer.headers.getall("Vary")


async def test_a_token_in_the_address_is_none(house: House) -> None:
    """Addresses end up in logs."""
    token = house.client.headers.pop("Authorization").removeprefix("Bearer ")

    assert (await house.ask("GET", f"/events?access_token={token}")).status == 401


async def test_a_stream_ends_with_its_token(house: House) -> None:
    """The client comes again with a new one and goes on where it was."""
    ends = int(datetime.now(UTC).timestamp()) - 3  # good for the leeway
    async with listening(house, **bearer(exp=ends)) as ear:
        await created(house)
        heard = await ear.rest()

    assert names(heard) == ["TaskCreated"]
    assert len(ear.retries) == 2


async def test_as_many_as_may_listen_do(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is told when to come again."""
    monkeypatch.setattr(house.context.live, "_limit", 2)
    async with listening(house), listening(house):
        await until(lambda: len(house.context.live._listeners) == 2)
        reply = await house.ask("GET", "/events")
        assert (reply.status, reply.json["type"]) == (503, "urn:taskhub:problem:busy")
        assert "Retry-After" in reply.headers
    await until(lambda: not house.context.live._listeners)
    async with listening(house):
        pass

    assert max(event.count for event in house.said(ListenersChanged)) == 2


async def test_a_store_in_trouble_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who listens stays; who comes is told to come again; afterwards nothing is missing."""
    monkeypatch.setattr(listener, "AGAIN", 0.05)
    read, store_read = house.context.live._read, house.store.events

    async def away(_: EventQuery) -> EventPage:
        raise StoreDown

    async with listening(house, Last_Event_ID="0") as ear:
        monkeypatch.setattr(house.context.live, "_read", away)
        monkeypatch.setattr(house.store, "events", away)
        assert (await house.ask("GET", "/events")).status == 503
        await created(house, 3)
        monkeypatch.setattr(house.context.live, "_read", read)
        monkeypatch.setattr(house.store, "events", store_read)
        heard = await ear.some(3)

    assert [each.id for each in heard] == ["1", "2", "3"]


# ---- the end, and those who do not read ----


async def much_happened(house: House) -> None:
    """More than the buffers of a connection take, the kernel's too."""
    claim = Claim(owner=WORKER, limit=100, lease=60, types=("simulate",))
    for _ in range(40):
        await asyncio.gather(*(house.create() for _ in range(25)))
        (result,) = await house.put(claim)
        assert isinstance(result, Claimed)
        ends = [
            Finish(id=lease.item.id, fence=lease.fence, status=Status.FAILED, error=ERROR)
            for lease in result.leases
        ]
        await house.put(*ends)


@asynccontextmanager
async def deaf(house: House) -> AsyncIterator[Listener]:
    """One that asks for everything, and reads nothing; it waits by now."""
    await much_happened(house)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", house.port))
        await loop.sock_sendall(client, _request("1.1", **{"Last-Event-ID": "0"}))
        await until(lambda: bool(house.context.live._listeners))
        await until(lambda: len(_connections()) == 1)
        (connection,) = _connections()
        await until(lambda: connection.writing_paused)
        (listener,) = house.context.live._listeners
        yield listener


def _connections() -> list[Connection]:
    return [each for each in gc.get_objects() if isinstance(each, Connection) and each._source]


@asynccontextmanager
async def foreign(house: House) -> AsyncIterator[Ear]:
    """A listener that outlives the house."""
    url = f"http://127.0.0.1:{house.port}/events"
    client = aiohttp.ClientSession(headers=bearer() | {"Accept": STREAM})
    async with client, client.get(url) as answer:
        yield Ear(answer)


@pytest.mark.wire
async def test_a_stop_ends_every_stream_and_says_when_to_come_again(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of who does not read: nobody holds up a stop."""
    monkeypatch.setattr(server, "DRAIN", 60.0)
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(tmp_path, empty_database))
        async with deaf(house), foreign(house) as ear:
            ending = asyncio.create_task(ear.rest())
            await until(lambda: bool(ear.retries))
            await stack.aclose()
            assert await ending == []
            assert len(ear.retries) == 2
            assert min(ear.retries) >= 1_000


@pytest.mark.wire
async def test_who_does_not_read_is_dropped_and_takes_little_memory(
    tmp_path: Path, empty_database: Path
) -> None:
    """Others hear everything meanwhile; it may come again and go on."""
    config = tuned(CONFIG, body_timeout=1.0)
    async with (
        open_house(tmp_path, empty_database, config) as house,
        deaf(house) as slow,
        listening(house) as ear,
    ):
        await until(lambda: len(house.context.live._listeners) == 2)
        await created(house)
        assert names(await ear.some(1)) == ["TaskCreated"]
        waiting = [c._way_out.get_write_buffer_size() for c in _connections() if c._way_out]
        assert max(waiting) < 2 * listener.PIECE + flow.BUFFER
        assert slow.position < house.context.live.ring.newest
        await until(lambda: len(house.said(ListenerDropped)) == 1)
        await until(lambda: len(house.context.live._listeners) == 1)


async def test_a_client_that_hangs_up_is_forgotten_at_once(house: House) -> None:
    """Nothing needs to happen first."""
    async with listening(house):
        await until(lambda: len(house.context.live._listeners) == 1)

    await until(lambda: not house.context.live._listeners, 1.0)
    assert [event.count for event in house.said(ListenersChanged)] == [1, 0]


async def test_what_was_delivered_is_counted(house: House) -> None:
    """Once for each listener."""
    async with listening(house) as one, listening(house) as two:
        await created(house, 3)
        await asyncio.gather(one.some(3), two.some(3))
        await until(lambda: sum(event.count for event in house.said(EventsDelivered)) == 6)
