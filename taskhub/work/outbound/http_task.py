"""The type `http`: a task that is a request to another host."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from taskhub.backoff import Backoff
from taskhub.config.webhooks import URL_LIMIT, URL_PATTERN
from taskhub.work.job import Job
from taskhub.work.outbound import answers
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.headers import Headers, has
from taskhub.work.outbound.sending import Request
from taskhub.work.outbound.signing import signed
from taskhub.work.registry import handler
from taskhub.work.signature import Function

NAME = "http"
BACKOFF = Backoff(base=2.0, factor=3.0, cap=900.0)
ATTEMPTS = 10
SHARE = 0.9
"""Of the task's time: the request is given up before the task is, so that it says why."""

Url = Annotated[
    str,
    Meta(
        pattern=URL_PATTERN,
        max_length=URL_LIMIT,
        description="http or https, no user, no port of another service",
    ),
]
Method = Literal["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]
Wait = Annotated[float, Meta(ge=0.1, le=300, description="seconds for the whole request")]
Statuses = Annotated[list[Annotated[int, Meta(ge=200, le=599)]], Meta(max_length=20)]
Hops = Annotated[int, Meta(ge=0, le=3)]


_text = msgspec.json.Decoder(str)


class Kept(msgspec.Struct, frozen=True):
    """The result of such a task: `body` is the beginning of the answer, `cut` tells of more."""

    status: int
    body: str
    cut: bool


def http_handler(calls: Calls | None) -> Function:
    """The handler; without `calls` it can only be described, not run."""

    @handler(NAME, timeout=60.0, attempts=ATTEMPTS, backoff=BACKOFF)
    async def http(
        job: Job,
        *,
        url: Url,
        method: Method = "POST",
        headers: Headers = {},  # noqa: B006 - read, never changed
        body: msgspec.Raw | UnsetType = UNSET,
        timeout: Wait = 30.0,  # noqa: ASYNC109 - the word of the payload
        expect: Statuses = [],  # noqa: B006 - the same
        redirects: Hops = 0,
    ) -> Kept:
        assert calls is not None
        data, kind = _written(body)
        if data and not has(headers, "content-type"):
            headers = {**headers, "Content-Type": kind}
        request = Request(
            method=method,
            url=url,
            headers=headers,
            own=own_headers(job, data, calls.settings().outbound.secret.reveal()),
            body=data,
            timeout=min(timeout, SHARE * job.remaining),
            redirects=redirects,
        )
        answer = await calls.call(job, request)
        if not answers.is_good(answer.status, expect):
            raise answers.refusal(answer)
        return Kept(answer.status, answer.body, answer.is_cut)

    return http


def own_headers(job: Job, body: bytes, secrets: str) -> dict[str, str]:
    """What we say of ourselves: the same id in every attempt, so that a double is known as one."""
    return {
        "User-Agent": "TaskHub",
        "Accept-Encoding": "identity",
        "Idempotency-Key": job.task.id,
        "TaskHub-Task-Id": job.task.id,
        "TaskHub-Attempt": str(job.attempt),
        **signed(secrets, job.task.id, int(time.time()), body),
    }


def _written(body: msgspec.Raw | UnsetType) -> tuple[bytes, str]:
    """The body as bytes, JSON as it came, and what it is."""
    data = b"null" if body is UNSET else bytes(body)
    if data == b"null":
        return b"", ""
    if data.startswith(b'"'):
        return _text.decode(data).encode(), "text/plain; charset=utf-8"
    return data, "application/json"
