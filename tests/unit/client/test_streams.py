"""events() and watch(): they go on where the line was cut, without a gap and without a double."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from taskhub.client import Event, Retries, Status, TaskHub
from taskhub.client import errors as e

from tests.unit.client.server import ID, Server, cut, problem, stream, task


def said(seq: int, kind: str = "TaskDone") -> str:
    """An event as the API streams it."""
    data = f'{{"type":"{kind}","id":"{ID}","title":"T","at":"2025-09-28T22:17:17.25Z"}}'
    return f"id: {seq}\nevent: {kind}\ndata: {data}\n\n"


async def first(hub: TaskHub, count: int, after: int | None = None) -> list[Event]:
    """So many events."""
    found: list[Event] = []
    async with aclosing(hub.events(after=after)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_events_are_typed(server: Server, hub: TaskHub) -> None:
    """With what to go on from."""
    server.does(stream(": hello\n\n" + said(7), ends=False))

    (event,) = await first(hub, 1)

    assert (event.seq, event.type, event.id, event.title) == (7, "TaskDone", ID, "T")
    assert event.at == datetime(2025, 9, 28, 22, 17, 17, 250_000, tzinfo=UTC)
    (asked,) = server.requests
    assert asked.headers["accept"] == "text/event-stream"
    assert asked.headers["authorization"] == "Bearer a.b.c"
    assert "last-event-id" not in asked.headers


async def test_a_cut_stream_goes_on_after_the_last_whole_event(
    server: Server, hub: TaskHub
) -> None:
    """The server is told which it was; half an event does not count."""
    server.does(stream(said(1) + said(2) + "id: 3\ndata: {}"))
    server.does(cut)
    server.says(503, problem(503, "stopping"), Retry_After="0")
    server.does(stream(said(3), ends=False))

    events = await first(hub, 3)

    assert [event.seq for event in events] == [1, 2, 3]
    assert [a.headers.get("last-event-id") for a in server.requests] == [None, "2", "2", "2"]


async def test_a_program_that_was_away_says_where_it_was(server: Server, hub: TaskHub) -> None:
    """With the `seq` of the last event that it saw."""
    server.does(stream(said(43), ends=False))

    await first(hub, 1, after=42)

    assert server.requests[0].headers["last-event-id"] == "42"


async def test_a_reset_is_told(server: Server, hub: TaskHub) -> None:
    """Events were missed: who keeps a copy reads it anew."""
    server.does(
        stream('id: 90\nevent: reset\ndata: {"oldest":5,"newest":90}\n\n' + said(91), ends=False)
    )

    events = await first(hub, 2, after=1)

    assert [(event.seq, event.type, event.id) for event in events] == [
        (90, "reset", ""),
        (91, "TaskDone", ID),
    ]


async def test_a_refusal_ends_the_stream(server: Server, hub: TaskHub) -> None:
    """What will not pass is not tried again."""
    server.says(403, problem(403, "forbidden"))

    with pytest.raises(e.Forbidden):
        await first(hub, 1)

    assert len(server.requests) == 1


async def test_a_server_that_wants_no_more_of_it_ends_the_stream(
    server: Server, hub: TaskHub
) -> None:
    """204, as the standard has it."""
    server.says(204, b"")

    assert await first(hub, 1) == []


async def test_it_is_given_up_in_bounded_time(server: Server) -> None:
    """Counted from the last byte that came."""
    server.does(stream(said(1)))
    server.does(cut)

    async with TaskHub(server.url, retries=Retries(within=0.2, first=0.01)) as hub:
        with pytest.raises(e.Unreachable) as caught:
            await first(hub, 2)

    assert caught.value.attempts > 2


async def test_a_server_cannot_send_us_away_for_long(server: Server) -> None:
    """`retry:` may say any number of days."""
    server.does(stream("retry: 999999999\n\n" + said(1)))
    server.does(stream(said(2), ends=False))

    async with TaskHub(server.url, retries=Retries(within=0.2, first=0.01)) as hub:
        assert [event.seq for event in await first(hub, 2)] == [1, 2]


async def test_a_filter_is_the_servers(server: Server, hub: TaskHub) -> None:
    """Nothing is sifted here."""
    server.says(204, b"")

    assert [event async for event in hub.events(event="TaskDone,TaskFailed", queue="images")] == []
    assert server.asked == [("GET", "/events?event=TaskDone%2CTaskFailed&queue=images")]


async def test_a_beat_moves_the_place_along(server: Server, hub: TaskHub) -> None:
    """A narrow filter need not go through everything again."""
    server.does(stream(said(1) + ": beat\nid: 99\n\n"))
    server.does(stream(said(100), ends=False))

    await first(hub, 2)

    assert server.requests[1].headers["last-event-id"] == "99"


async def test_watch_gives_the_task_at_each_change_until_its_end(
    server: Server, hub: TaskHub
) -> None:
    """The stream only rings, and its history is no news: what is shown is the row."""
    server.does(stream(said(1, "TaskStarted") + said(2, "TaskProgress")))
    server.says(200, task())
    server.says(200, task(status="Processing", updatedAt="2025-09-28T22:17:18Z"))
    server.does(stream("id: 3\nevent: end\ndata: {}\n\n"))
    server.says(200, task(status="Processing", updatedAt="2025-09-28T22:17:18Z"))
    server.says(200, task(status="Done", updatedAt="2025-09-28T22:17:19Z"))

    seen = [seen.status async for seen in hub.watch(ID)]

    assert seen == [Status.PENDING, Status.PROCESSING, Status.DONE]
    stream_path, task_path = f"/tasks/{ID}/events", f"/tasks/{ID}"
    paths = [stream_path, task_path, task_path, stream_path, task_path, task_path]
    assert [path for _, path in server.asked] == paths
