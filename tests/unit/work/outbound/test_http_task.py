"""The type `http`, from its payload to what becomes of the task."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from aiohttp import web
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from taskhub.model import Status
from taskhub.obs.telemetry import BreakerOpened, RequestSent
from taskhub.obs.tracing import Tracing, written
from taskhub.ports import Finish
from taskhub.work.outbound.breaker import FAILURES, REST_FIRST
from taskhub.work.outbound.calls import FREE_FOR, Calls
from taskhub.work.outbound.http_task import http_handler
from taskhub.work.registry import Registry

from tests.unit.work.making import TASK, attempt, running
from tests.unit.work.outbound.receiving import HERE, Place, Receiver, place

TRACE_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def answering(
    status: int, text: str = "", **headers: str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A receiver's answer."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return answer


def pause(finish: Finish) -> float:
    """Seconds until the next attempt, nearly."""
    assert finish.run_at is not None
    return (finish.run_at - datetime.now(UTC)).total_seconds()


async def test_the_receiver_is_told_the_trace_unless_the_task_says_another_one() -> None:
    """Of the task as it came, or of the span of this very call, where there are spans."""
    exporter, named = InMemorySpanExporter(), {"TraceParent": TRACE_PARENT.replace("7", "8")}
    tracing = Tracing(exporter, "worker-1")
    async with Receiver(answering(404)).up() as receiver, place(*HERE) as here:
        port = int(receiver.url.rpartition(":")[2])
        spanned = Place(Calls(lambda: here.config, here.said.append, tracing=tracing))
        for at, headers in ((here, {}), (here, named), (spanned, {})):
            await at.run(
                {"url": f"{receiver.url}/?key=secret", "headers": headers}, trace=TRACE_PARENT
            )
        await here.run({"url": receiver.url})
        await spanned.calls.close()
    tracing.close()

    (span,) = exporter.get_finished_spans()
    told = [got.headers.get("traceparent") for got in receiver.requests]
    assert told == [TRACE_PARENT, named["TraceParent"], written(span.context), None]
    assert span.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 404,
    }


async def test_a_task_is_a_request_and_its_answer_the_result() -> None:
    """With who sends it, which attempt it is, and an id that stays."""
    async with Receiver(answering(201, "made")).up() as receiver, place(*HERE) as here:
        ended = await here.run(
            {"url": receiver.url, "body": {"b": [1.50, 12345678901234567890123]}}, attempt=3
        )

    (got,) = receiver.requests
    assert (ended.status, json.loads(ended.result or b"")) == (
        Status.DONE,
        {"status": 201, "body": "made", "cut": False},
    )
    assert (got.method, got.headers["Content-Type"]) == ("POST", "application/json")
    assert json.loads(receiver.bodies[0])["b"][1] == 12345678901234567890123
    assert got.headers["TaskHub-Attempt"] == "3"
    assert got.headers["Idempotency-Key"] == got.headers["TaskHub-Task-Id"] == TASK
    assert got.headers["webhook-id"] == TASK
    assert "webhook-signature" not in got.headers
    assert here.said == [RequestSent(type="http", outcome="2xx")]


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        ("grüße\n", "grüße\n".encode(), "text/plain; charset=utf-8"),
        ([], b"[]", "application/json"),
        (0, b"0", "application/json"),
        (None, b"", None),
        ("", b"", None),
    ],
)
async def test_a_text_is_sent_as_it_is_and_the_rest_as_json(
    body: Any, sent: bytes, kind: str | None
) -> None:
    """The payload's own media type wins."""
    async with Receiver().up() as receiver, place(*HERE) as here:
        await here.run({"url": receiver.url, "body": body})
        await here.run(
            {"url": receiver.url, "body": body or "x", "headers": {"content-type": "text/xml"}}
        )

    assert receiver.bodies[0] == sent
    assert receiver.requests[0].headers.get("Content-Type") == kind
    assert receiver.requests[1].headers.getall("Content-Type") == ["text/xml"]


async def test_with_a_secret_each_request_is_signed() -> None:
    """As a receiver checks it; a secret that a reload has brought is the one."""
    async with Receiver().up() as receiver, place(*HERE, secret=SECRET) as here:
        await here.run({"url": receiver.url, "body": {"a": 1}})

    headers = receiver.requests[0].headers
    content = f"{TASK}.{headers['webhook-timestamp']}.".encode() + receiver.bodies[0]
    mac = hmac.digest(b64decode(SECRET.removeprefix("whsec_")), content, sha256)
    assert headers["webhook-id"] == TASK
    assert headers["webhook-signature"] == f"v1,{b64encode(mac).decode()}"
    assert abs(datetime.now(UTC).timestamp() - int(headers["webhook-timestamp"])) < 60


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_host_that_is_not_able_is_asked_again(status: int) -> None:
    """By the type's own pauses, or when the host wants it."""
    async with Receiver(answering(status, "busy")).up() as receiver, place(*HERE) as here:
        ended = await here.run({"url": receiver.url})
    async with (
        Receiver(answering(status, **{"Retry-After": "120"})).up() as receiver,
        place(*HERE) as here,
    ):
        later = await here.run({"url": receiver.url})

    assert (ended.status, ended.error) == (Status.PENDING, f"the answer was {status}: busy")
    assert not ended.refund
    assert pause(ended) < 3
    assert 110 < pause(later) <= 120


@pytest.mark.parametrize("status", [302, 400, 404])
async def test_a_host_that_refuses_ends_the_task(status: int) -> None:
    """Another attempt would be told the same."""
    refusing = Receiver(answering(status, "no", Location="/x"))
    async with refusing.up() as receiver, place(*HERE) as here:
        ended = await here.run({"url": receiver.url})

    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert ended.error.startswith(f"the answer was {status}: no")


async def test_a_task_may_expect_another_status() -> None:
    """Then that one alone is good."""
    async with Receiver(answering(404)).up() as receiver, place(*HERE) as here:
        good = await here.run({"url": receiver.url, "method": "GET", "expect": [404]})
    async with Receiver().up() as receiver, place(*HERE) as here:
        bad = await here.run({"url": receiver.url, "method": "GET", "expect": [404]})

    assert (good.status, bad.status) == (Status.DONE, Status.FAILED)


async def test_what_is_not_allowed_fails_at_once_and_nobody_is_dialled() -> None:
    """A task that tries again would try for ever."""
    async with Receiver().up() as receiver, place() as here:
        ended = await here.run({"url": receiver.url})

    assert (ended.status, receiver.requests) == (Status.FAILED, [])
    assert ended.error is not None
    assert "[outbound] allow" in ended.error
    assert here.said == [RequestSent(type="http", outcome="refused")]


async def test_a_network_that_a_reload_allows_may_be_called() -> None:
    """The rules are those of the moment."""
    async with Receiver().up() as receiver, place() as here:
        section = msgspec.structs.replace(here.config.outbound, allow=HERE)
        here.config = msgspec.structs.replace(here.config, outbound=section)
        ended = await here.run({"url": receiver.url})

    assert ended.status is Status.DONE


async def test_the_request_is_given_up_before_the_task_is() -> None:
    """So that the error says what was waited for, and the breaker hears of it."""
    import asyncio

    done = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    async with Receiver(wait).up() as receiver, place(*HERE) as here:
        ended = await here.run({"url": receiver.url}, timeout=0.1)
        done.set()

    assert (ended.status, here.said) == (
        Status.PENDING,
        [RequestSent(type="http", outcome="unreachable")],
    )
    assert ended.error is not None
    assert ended.error.startswith("no answer within 0.0")


# ---- the breaker ----


async def failed(here: Place, url: str) -> None:
    """Let the host fail until its breaker opens."""
    for _ in range(FAILURES):
        await here.run({"url": url})
    assert isinstance(here.said[-2], BreakerOpened)


async def test_a_task_that_meets_an_open_breaker_is_put_off_and_pays_nothing() -> None:
    """It is not its fault; and not all come back at the same moment."""
    async with Receiver(answering(503)).up() as receiver, place(*HERE) as here:
        await failed(here, receiver.url)
        first = await here.run({"url": receiver.url})
        second = await here.run({"url": f"{receiver.url}/other"})

    assert len(receiver.requests) == FAILURES
    assert (first.status, first.refund) == (second.status, second.refund) == (Status.PENDING, True)
    assert REST_FIRST - 1 <= pause(first) <= 2 * REST_FIRST
    assert first.run_at != second.run_at
    assert here.said[-1] == RequestSent(type="http", outcome="put_off")


async def test_a_day_after_its_birth_a_task_pays_so_that_it_ends() -> None:
    """A host that never comes back must not keep its tasks for ever."""
    async with Receiver(answering(503)).up() as receiver, place(*HERE) as here:
        await failed(here, receiver.url)
        old = attempt("http", {"url": receiver.url})
        born = datetime.now(UTC) - timedelta(seconds=FREE_FOR)
        item = msgspec.structs.replace(old.lease.item, created_at=born)
        old.lease = msgspec.structs.replace(old.lease, item=item)
        with running(http_handler(here.calls)) as runner:
            ended = await runner.run(old)

    assert isinstance(ended, Finish)
    assert (ended.status, ended.refund) == (Status.PENDING, False)
    assert pause(ended) >= REST_FIRST - 1


async def test_a_refusal_of_the_host_or_of_the_guard_opens_no_breaker() -> None:
    """A host that says no is able to."""
    async with Receiver(answering(404)).up() as receiver, place("127.0.0.1/32") as here:
        for _ in range(FAILURES + 1):
            await here.run({"url": receiver.url})
            await here.run({"url": "http://127.0.0.2:8080/"})

    assert not any(isinstance(event, BreakerOpened) for event in here.said)


# ---- what the API refuses before anything is stored ----

SCHEMA = {
    name: rule
    for name, rule in Registry.of(http_handler(None))["http"].info.schema.items()
    if not name.startswith("x-")
}
URL = {"url": "https://example.com"}


@pytest.mark.parametrize(
    "payload",
    [
        URL,
        {"url": "http://bücher.example:8080/ä?b#c", "method": "GET", "redirects": 3},
        {**URL, "headers": {"X-Token": "a b", "Authorization": "Bearer x", "Hosts": "x"}},
        {**URL, "body": [None], "timeout": 0.1, "expect": [200, 404]},
    ],
)
def test_a_good_payload_passes(payload: Any) -> None:
    """By the schema that the API checks, and that clients read."""
    assert jsonschema_rs.is_valid(SCHEMA, payload)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {**URL, "uri": "x"},
        *({"url": u} for u in ("", "x", "ftp://a.example", "http://a@b.example", "http://a\n")),
        {"url": "https://example.com/" + "a" * 2_048},
        *({**URL, "method": m} for m in ("", "post", "CONNECT", "TRACE", "GET /x HTTP/1.1")),
        *(
            {**URL, "headers": {name: "x"}}
            for name in (
                *("Host", "HOST", "content-length", "Transfer-Encoding", "Connection", "TE"),
                *("Webhook-Signature", "webhook-id", "TaskHub-Attempt", "idempotency-key", ""),
                *("a b", "a:b", "a\r\nb", "a\n", "ä", "x" * 101),
            )
        ),
        *({**URL, "headers": {"X": v}} for v in ("a\r\nb: c", "a\n", "ä", "\x00", 1, "x" * 2_001)),
        {**URL, "headers": {f"X-{number}": "" for number in range(33)}},
        *({**URL, "timeout": t} for t in (0, -1, 301, "5")),
        *({**URL, "redirects": r} for r in (-1, 4, 1.5)),
        *({**URL, "expect": e} for e in ([99], [600], ["200"], [200] * 21)),
    ],
)
def test_a_bad_payload_is_refused(payload: Any) -> None:
    """Nobody writes into the framing of our requests, or signs in our name."""
    assert not jsonschema_rs.is_valid(SCHEMA, payload)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            json.dumps(payload),
            type=Registry.of(http_handler(None))["http"].signature.decoder.type,
        )
