"""One trace, from a client's request to the handler's own spans, as a real receiver gets it."""

from __future__ import annotations

import asyncio
from typing import Any

from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from tests.acceptance.installation import PATIENCE, Installation, free_port

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HANDLERS = """
import time
from opentelemetry import trace
from taskhub import Backoff, Job, handler

@handler("async", backoff=Backoff(base=0.01, cap=0.01))
async def paint(job: Job) -> None:
    job.log.info("painting")
    with trace.get_tracer("mine").start_as_current_span("mixing"):
        pass
    if job.attempt == 1:
        raise OSError("no paint")

@handler("thread")
def draw() -> None:
    with trace.get_tracer("mine").start_as_current_span("sharpening"):
        pass

@handler("apart", cpu=True)
def carve(job: Job) -> None:
    job.log.info("carving")
    with trace.get_tracer("mine").start_as_current_span("chiselling"):
        pass
"""
TOLD = {"TaskCreated", "TaskStarted", "TaskProcessed", "HandlerSaid"}
SETTINGS = """
[work]
{handlers}
[outbound]
allow = ["127.0.0.1/32"]
[tracing]
exporter = "otlp"
endpoint = "http://127.0.0.1:{port}/v1/traces"
"""


def attribute(span: Any, name: str) -> Any:
    """The value of one attribute; None: it has none of this name."""
    values = [each.value for each in span.attributes if each.key == name]
    return getattr(values[0], values[0].WhichOneof("value")) if values else None


async def spans(tap: OtelTapHttpProtobufReceiver, number: int) -> list[Any]:
    """So many of the trace that the client has begun."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        async for span in tap.stream_traces():
            if span.trace_id.hex() == TRACE:
                found.append(span)
            if len(found) == number:
                return found
    raise AssertionError(f"{len(found)} spans came")


async def traced(hub: Installation) -> tuple[dict[str, Any], list[Any], dict[str, list[Any]]]:
    """The tasks of a traced client, what became of them, and the spans by name."""
    port = free_port()
    by_name: dict[str, list[Any]] = {}
    hub.configure(SETTINGS.format(handlers=hub.handlers(HANDLERS), port=port))
    receiver = OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port))
    async with receiver as tap:
        coming = asyncio.create_task(spans(tap, 15))
        await hub.start()
        calls = {"url": f"{hub.url}/actors", "method": "GET", "expect": [401]}
        tasks = {kind: await asked(hub, kind) for kind in ("async", "thread", "apart")}
        tasks["http"] = await asked(hub, "http", calls)
        done = await hub.all_ended(task["id"] for task in tasks.values())
        await hub.stop()  # what is not sent yet is sent now
        for span in await coming:
            by_name.setdefault(span.name, []).append(span)
    return tasks, done, by_name


async def asked(hub: Installation, kind: str, payload: object = None) -> Any:
    """A new task of a client that has begun a trace."""
    body = {"title": "x", "type": kind, **({} if payload is None else {"payload": payload})}
    parent = f"00-{TRACE}-{CLIENT}-01"
    return (await hub.request("POST", "/tasks", body, traceparent=parent))[1]


async def test_one_trace_leads_from_the_request_through_every_attempt(
    hub: Installation,
) -> None:
    """API, row, worker, retry, the handler's own spans in the loop and in a thread: one id."""
    tasks, done, by_name = await traced(hub)

    assert [task["status"] for task in done] == ["Done"] * 4
    statuses = {attribute(span, "http.response.status_code") for span in by_name["POST /tasks"]}
    assert statuses == {201}
    assert {span.parent_span_id.hex() for span in by_name["POST /tasks"]} == {CLIENT}
    requests = {span.span_id for span in by_name["POST /tasks"]}
    first, second = sorted(
        by_name["process async"], key=lambda span: attribute(span, "taskhub.task.attempt")
    )
    (drawn,) = by_name["process thread"]
    assert {span.parent_span_id for span in (first, second, drawn)} <= requests
    assert [link.span_id for link in second.links] == [first.span_id]
    assert [attribute(span, "taskhub.outcome") for span in (first, second)] == ["Pending", "Done"]
    assert attribute(first, "messaging.message.id") == tasks["async"]["id"]
    assert {span.parent_span_id for span in by_name["mixing"]} == {first.span_id, second.span_id}
    assert [span.parent_span_id for span in by_name["sharpening"]] == [drawn.span_id]
    assert {"TaskRetrying", *TOLD} <= told(hub, tasks["async"])
    (carved,), (chiselled,) = by_name["process apart"], by_name["chiselling"]
    assert chiselled.parent_span_id == carved.span_id
    assert told(hub, tasks["apart"]) >= TOLD
    (called,), (calling,), (heard,) = (
        by_name[each] for each in ("process http", "GET", "GET /actors")
    )
    assert (heard.parent_span_id, calling.parent_span_id) == (calling.span_id, called.span_id)
    assert attribute(calling, "http.response.status_code") == 401


def told(hub: Installation, task: dict[str, Any]) -> set[str]:
    """What the log tells of a task in its trace."""
    lines = [line for line in hub.lines() if line.get("TaskId") == task["id"]]
    return {line["@i"] for line in lines if line.get("TraceId") == TRACE}
