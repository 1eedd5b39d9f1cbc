"""What the client says for external workers, and the worker that is made of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from taskhub.client import Failure, Handed, Job, TaskHub, Unreachable
from taskhub.client import errors as e

from tests.unit.client.server import ID, Server, cut, problem, silence, task
from tests.waiting import until

UNTIL = "2026-01-02T03:04:05Z"
LEASE = "1.Zm9ydHktdHdvIGJ5dGVzIQ"
OUTCOME = {"id": ID, "status": "Done"}


def handed(number: int = 1, kind: str = "count") -> dict[str, Any]:
    """A task as `/work/claim` gives it."""
    item = task(type=kind)
    return {"id": ID, "lease": LEASE, "leaseUntil": UNTIL, "fence": number, "task": item}


def now(server: Server, status: int, body: Any) -> None:
    """What it says from now on."""
    server.acts.clear()
    server.says(status, body)


async def held_by(hub: TaskHub, server: Server) -> Handed:
    """A task in our hands."""
    now(server, 200, {"items": [handed()]})
    (held,) = await hub.work.claim(["count"])
    return held


async def test_each_call_says_what_the_route_takes(server: Server, hub: TaskHub) -> None:
    """And no secret is in a repr."""
    server.says(200, {"types": ["count"]})
    await hub.work.register("count", timeout_seconds=9, payload_schema={"type": "object"})
    held = await held_by(hub, server)
    now(server, 200, {"id": ID, "leaseUntil": UNTIL, "cancelRequested": True})
    state = await hub.work.renew(held, lease_seconds=9, wait=3)
    now(server, 204, b"")
    await hub.work.progress(held, 0.5, "half", {"at": 7})
    now(server, 200, OUTCOME)
    await hub.work.complete(held, {"words": 3})
    await hub.work.fail(held, "no", exception="OSError", retry_in_seconds=2)
    now(server, 204, b"")
    await hub.work.release(held)
    assert await hub.work.claim(["a", "b"], worker="w", limit=2, wait=5, queues=["q"]) == []

    assert state.cancel_requested
    assert LEASE not in repr(held)
    said = [(request.path.removeprefix("/work/"), request.json) for request in server.requests]
    assert said == SAID


def _wish(types: list[str], **more: Any) -> dict[str, Any]:
    usual = {"worker": "worker", "limit": 1, "leaseSeconds": 30.0, "wait": 0.0, "queues": []}
    return {"types": types, **usual, **more}


SAID = [
    (
        "types",
        {"types": [{"name": "count", "timeoutSeconds": 9, "payloadSchema": {"type": "object"}}]},
    ),
    ("claim", _wish(["count"])),
    (f"{ID}/renew", {"lease": LEASE, "leaseSeconds": 9, "wait": 3}),
    (f"{ID}/progress", {"lease": LEASE, "fraction": 0.5, "text": "half", "data": {"at": 7}}),
    (f"{ID}/complete", {"lease": LEASE, "result": {"words": 3}}),
    (
        f"{ID}/fail",
        {"lease": LEASE, "error": "no", "final": False, "exception": "OSError"}
        | {"retryInSeconds": 2},
    ),
    (f"{ID}/release", {"lease": LEASE}),
    ("claim", _wish(["a", "b"], worker="w", limit=2, wait=5, queues=["q"])),
]


async def test_a_claim_whose_line_is_cut_is_not_sent_again(server: Server, hub: TaskHub) -> None:
    """It may have handed out tasks; an outcome is: the same body gets the same answer."""
    held = await held_by(hub, server)
    server.acts.clear()
    server.does(cut)
    with pytest.raises(Unreachable):
        await hub.work.claim(["count"])
    asked = len(server.requests)
    server.says(200, OUTCOME)
    assert (await hub.work.complete(held)).status == "Done"

    assert (asked, len(server.requests)) == (2, 4)


async def test_who_is_too_late_is_told(server: Server, hub: TaskHub) -> None:
    """But not of its own giving back, whose first answer was lost."""
    held = await held_by(hub, server)
    now(server, 409, problem(409, "lease-over"))
    with pytest.raises(e.LeaseOver):
        await hub.work.complete(held)
    with pytest.raises(e.LeaseOver):
        await hub.work.release(held)
    server.acts.appendleft(cut)
    await hub.work.release(held)


async def _serve(server: Server, hub: TaskHub, handlers: Any, *acts: tuple[int, Any]) -> None:
    """A worker that gets one task, and is told this; it stops when it asks for more."""
    (kind,) = handlers
    server.says(200, {"items": [handed(kind=kind)]})
    for status, body in acts:
        server.says(status, body)
    server.does(silence)
    stop = asyncio.Event()
    serving = asyncio.ensure_future(hub.work.serve(handlers, concurrency=1, stop=stop))
    claims = ("POST", "/work/claim")
    await until(lambda: serving.done() or server.asked.count(claims) == 2)
    stop.set()
    await serving


def _count(job: Job) -> dict[str, int]:
    return {"words": job.fence}


async def _refuse(_: Job) -> None:
    raise Failure("not today", retry_in_seconds=60)


async def _break(_: Job) -> None:
    raise OSError("no disk")


async def _odd(_: Job) -> object:
    return object()


async def _cancel(_: Job) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (_count, {"result": {"words": 1}}),
        (_refuse, {"error": "not today", "final": False, "retryInSeconds": 60}),
        (_break, {"error": "OSError: no disk", "final": False, "exception": "OSError"}),
        (_cancel, {"error": "stopped while it ran", "final": False}),
    ],
)
async def test_a_worker_says_what_came_of_a_task(
    server: Server, hub: TaskHub, handler: Any, said: dict[str, Any]
) -> None:
    """What is returned is its result, what is raised its failure."""
    await _serve(server, hub, {"count": handler}, (200, OUTCOME))

    verb = "complete" if "result" in said else "fail"
    assert server.asked[1] == ("POST", f"/work/{ID}/{verb}")
    assert server.requests[1].json == {"lease": LEASE, **said}


async def test_a_result_that_cannot_be_kept_is_the_end_of_its_task(
    server: Server, hub: TaskHub
) -> None:
    """It is none of JSON, or the server finds it too large."""
    await _serve(server, hub, {"count": _odd}, (200, OUTCOME))
    assert server.requests[1].json["final"] is True
    server.acts.clear()
    server.requests.clear()

    await _serve(server, hub, {"count": _count}, (422, problem(422, "invalid")), (200, OUTCOME))

    assert [path for _, path in server.asked[1:3]] == [f"/work/{ID}/complete", f"/work/{ID}/fail"]
    assert server.requests[2].json["error"].startswith("the result cannot be kept")


async def test_a_worker_that_is_too_late_goes_on_with_the_next(
    server: Server, hub: TaskHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The task is somebody else's."""
    with caplog.at_level(logging.INFO, "taskhub.client"):
        await _serve(server, hub, {"count": _count}, (409, problem(409, "lease-over")))

    assert caplog.messages == [f"{ID} complete 409"]


@pytest.mark.virtual_clock
async def test_trouble_that_may_pass_is_waited_for_and_a_refusal_is_raised(
    server: Server, hub: TaskHub
) -> None:
    """A restart of the server is no reason to end; a token without the scope is."""
    server.does(cut)
    server.says(403, problem(403, "forbidden"))

    with pytest.raises(e.Forbidden):
        await hub.work.serve({"count": _count})

    assert len(server.requests) == 2


async def test_a_worker_that_is_cancelled_gives_back_what_it_has(
    server: Server, hub: TaskHub
) -> None:
    """The attempt does not count."""
    server.says(200, {"items": [handed()]})
    server.says(204, b"")
    began = asyncio.Event()

    async def count(_: Job) -> None:
        began.set()
        await asyncio.Event().wait()

    serving = asyncio.ensure_future(hub.work.serve({"count": count}))
    await began.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert server.asked == [("POST", "/work/claim"), ("POST", f"/work/{ID}/release")]


async def test_a_cancel_that_is_wished_stops_the_handler(
    server: Server, hub: TaskHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewal tells of it."""
    monkeypatch.setattr("taskhub.client.worker.PAUSE", 0.0)

    async def count(_: Job) -> None:
        await asyncio.Event().wait()

    state = {"id": ID, "leaseUntil": UNTIL, "cancelRequested": True}
    await _serve(server, hub, {"count": count}, (200, state), (200, OUTCOME))

    renewed, failed = server.requests[1:3]
    assert renewed.json == {"lease": LEASE, "leaseSeconds": 30.0, "wait": 10.0}
    assert failed.json["error"] == "stopped while it ran"


async def test_of_what_a_handler_reports_the_latest_is_told(server: Server, hub: TaskHub) -> None:
    """It does not wait for that; what it has said last is told before its failure."""

    async def count(job: Job) -> None:
        job.progress(0.25)
        job.progress(0.5, "half", {"at": 7})
        await until(lambda: len(server.requests) > 1)
        job.progress(0.75)
        raise OSError

    await _serve(server, hub, {"count": count}, (204, b""), (204, b""), (200, OUTCOME))

    told, last, failed = server.requests[1:4]
    assert told.path == f"/work/{ID}/progress"
    assert told.json == {"lease": LEASE, "fraction": 0.5, "text": "half", "data": {"at": 7}}
    assert (last.path, last.json["fraction"]) == (f"/work/{ID}/progress", 0.75)
    assert failed.path == f"/work/{ID}/fail"
