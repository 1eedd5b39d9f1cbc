"""The type `webhook`: a task that brings an event to a webhook of the configuration."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from taskhub.backoff import Backoff
from taskhub.model import Fail, Retry
from taskhub.telling import DELIVERY, DELIVERY_ATTEMPTS, DELIVERY_QUEUE, DELIVERY_TIMEOUT
from taskhub.work.job import Job
from taskhub.work.outbound import answers
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.http_task import Kept, own_headers
from taskhub.work.outbound.sending import Request
from taskhub.work.registry import handler
from taskhub.work.signature import Function

BACKOFF = Backoff(base=2.0, factor=3.0, cap=3_600.0)
"""With `DELIVERY_ATTEMPTS` nearly three days: a weekend's outage loses nothing."""
WAIT = 30.0
HEADERS = {"Content-Type": "application/json"}


def webhook_handler(calls: Calls | None) -> Function:
    """The handler; without `calls` it can only be described, not run."""

    @handler(
        DELIVERY,
        queue=DELIVERY_QUEUE,
        timeout=DELIVERY_TIMEOUT,
        attempts=DELIVERY_ATTEMPTS,
        backoff=BACKOFF,
    )
    async def webhook(job: Job, *, webhook: str, event: msgspec.Raw) -> Kept:
        assert calls is not None
        hook = calls.settings().outbound.webhooks.get(webhook)
        if hook is None:  # here; elsewhere, or after a reload, it may be
            raise Retry("no webhook of this name is configured")
        body = bytes(event)
        request = Request(
            method="POST",
            url=hook.url,
            headers=HEADERS,
            own=own_headers(job, body, hook.secret.reveal()),
            body=body,
            timeout=min(WAIT, 0.9 * job.remaining),
        )
        answer = await calls.call(job, request, refused=Retry)
        if answer.status == HTTPStatus.GONE:
            raise Fail("the answer was 410: the receiver wants no more")
        if not answers.is_good(answer.status, ()):
            raise answers.again(answer)
        return Kept(answer.status, answer.body, answer.is_cut)

    return webhook
