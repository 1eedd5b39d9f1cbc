"""The type `webhook`: an event goes to whom the configuration names, until it has arrived."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from aiohttp import web
from taskhub.config.sections import Config, OutboundSection, Secret, WebhookSection
from taskhub.model import Status
from taskhub.ports import Finish
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.handlers import outbound_handlers
from taskhub.work.outbound.webhook_task import BACKOFF

from tests.unit.work.making import TASK, attempt, running
from tests.unit.work.outbound.receiving import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = {"type": "TaskDone", "id": "x", "title": "Zoë", "seq": 7}


def config(url: str, *allowed: str, name: str = "shop") -> Config:
    """One webhook; its requests are signed, and not with the secret of `http` tasks."""
    section = OutboundSection(
        allow=allowed,
        secret=Secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        webhooks={name: WebhookSection(url=url, secret=Secret(SECRET))},
    )
    return msgspec.structs.replace(Config(), outbound=section)


async def delivered(configured: Config, number: int = 1) -> Finish:
    """One attempt of a delivery to `shop`."""
    payload = {"webhook": "shop", "event": EVENT}
    calls = Calls(lambda: configured, lambda _: None)
    try:
        with running(*outbound_handlers(calls)) as runner:
            ended = await runner.run(
                attempt("webhook", payload, attempt=number, max_attempts=80, timeout=60.0)
            )
    finally:
        await calls.close()
    assert isinstance(ended, Finish)
    return ended


def answering(status: int) -> Receiver:
    """A receiver that always says so."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="thanks", headers={"Location": "/x"})

    return Receiver(answer)


async def test_the_event_arrives_signed_as_the_webhook_wants_it() -> None:
    """The id is that of the delivery, so it is the same in every attempt."""
    async with answering(202).up() as receiver:
        ended = await delivered(config(f"{receiver.url}/hook", "127.0.0.1/32"), number=3)

    (got,), (body,) = receiver.requests, receiver.bodies
    content = f"{TASK}.{got.headers['webhook-timestamp']}.".encode() + body
    mac = hmac.digest(b64decode(SECRET.removeprefix("whsec_")), content, sha256)
    assert (got.method, got.path, json.loads(body)) == ("POST", "/hook", EVENT)
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["webhook-id"] == got.headers["Idempotency-Key"] == TASK
    assert got.headers["webhook-signature"] == f"v1,{b64encode(mac).decode()}"
    assert got.headers["TaskHub-Attempt"] == "3"
    assert json.loads(ended.result or b"") == {"status": 202, "body": "thanks", "cut": False}
    assert ended.status is Status.DONE


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 409, 429, 500, 503])
async def test_whatever_else_is_answered_it_is_sent_again(status: int) -> None:
    """A receiver that is being put up answers all kinds of things; the event must not be lost."""
    async with answering(status).up() as receiver:
        ended = await delivered(config(receiver.url, "127.0.0.1/32"))

    assert (ended.status, ended.refund) == (Status.PENDING, False)
    assert ended.error == f"the answer was {status}: thanks"
    assert len(receiver.requests) == 1


async def test_a_receiver_may_want_no_more() -> None:
    """As Standard Webhooks has it."""
    async with answering(410).up() as receiver:
        ended = await delivered(config(receiver.url, "127.0.0.1/32"))

    assert ended.status is Status.FAILED


@pytest.mark.parametrize(
    "configured",
    [config("http://127.0.0.1:8080/"), config("https://x.example", name="other")],
    ids=["a network that is not allowed", "another name"],
)
async def test_a_mistake_of_the_configuration_costs_time_and_no_event(configured: Any) -> None:
    """It is mended by a reload, and on another host it may be mended already."""
    ended = await delivered(configured)

    assert ended.status is Status.PENDING
    assert "8080" not in (ended.error or "")


def test_the_attempts_are_spread_over_nearly_three_days() -> None:
    """A weekend's outage loses nothing."""
    longest = sum(BACKOFF._whole(number) for number in range(1, 80))
    shortest = longest * (1 - BACKOFF.jitter)

    assert 2.4 < shortest / 86_400 < longest / 86_400 < 3.1
