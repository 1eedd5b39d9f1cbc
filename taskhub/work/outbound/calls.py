"""One attempt of a task that calls another host: breaker, request, what it leads to."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from taskhub.config.sections import Config
from taskhub.model import Fail, Retry, Snooze
from taskhub.obs.telemetry import Emit, RequestSent
from taskhub.work.job import Job
from taskhub.work.outbound.answers import is_able
from taskhub.work.outbound.breaker import Breakers
from taskhub.work.outbound.guard import NotAllowed
from taskhub.work.outbound.headers import has
from taskhub.work.outbound.sending import Answer, Request, Sender, Unreachable

if TYPE_CHECKING:
    from taskhub.obs.tracing import Tracing

TRACE_PARENT = "traceparent"
FREE_FOR = 86_400.0
"""Seconds from its creation in which it costs a task no attempt that a host is left alone; after
that it does, or a host that never comes back would keep its tasks for ever.
"""


class Calls:
    """What all such tasks of one process share: the session and what is known of hosts."""

    def __init__(
        self,
        settings: Callable[[], Config],
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        """Used in one event loop; `close` it there."""
        self.settings = settings
        self._emit, self._tracing = emit, tracing
        self._sender = Sender(lambda: settings().outbound.allow)
        self._breakers = Breakers(emit, clock)
        self._rng = Random()  # noqa: S311 - jitter is no key

    async def call(self, job: Job, request: Request, refused: type[Fail | Retry] = Fail) -> Answer:
        """The answer, whatever it says; raises Retry, Snooze or Fail where there is none.

        `refused` is what a call that is not allowed ends in.
        """
        try:
            host = str(self._sender.guard().url(request.url).origin())
        except NotAllowed as error:
            raise refused(self._told_why(job, error)) from None
        if rest := self._breakers.may_call(host):
            self._tell(job, "put_off")
            raise self._put_off(job, rest)
        try:
            answer = await self._sent(job, request, host)
        except NotAllowed as error:
            self._breakers.unknown(host)
            raise refused(self._told_why(job, error)) from None
        except Unreachable as error:
            self._breakers.failed(host)
            self._tell(job, "unreachable")
            raise Retry(str(error)) from None
        except BaseException:
            self._breakers.unknown(host)
            raise
        self._answered(job, host, answer)
        return answer

    async def close(self) -> None:
        """Cut what is under way."""
        await self._sender.close()

    async def _sent(self, job: Job, request: Request, host: str) -> Answer:
        """The answer; the request is told which trace it belongs to, unless it says so itself."""
        if self._tracing is None:
            return await self._sender.send(_in_trace(request, job.trace_parent))
        with self._tracing.call(request.method, host) as called:
            answer = await self._sender.send(_in_trace(request, called.trace_parent))
            called.answered(answer.status)
            return answer

    def _answered(self, job: Job, host: str, answer: Answer) -> None:
        if is_able(answer.status):
            self._breakers.succeeded(host)
        else:
            self._breakers.failed(host)
        self._tell(job, f"{answer.status // 100}xx")

    def _told_why(self, job: Job, error: NotAllowed) -> str:
        self._tell(job, "refused")
        return f"this call is not allowed: {error.text}"

    def _put_off(self, job: Job, rest: float) -> Snooze | Retry:
        """Not all at the same moment, and not for ever."""
        seconds = rest * (1 + self._rng.random())
        reason = "its host has failed again and again and is left alone for a while"
        if (datetime.now(UTC) - job.task.created_at).total_seconds() < FREE_FOR:
            return Snooze(seconds, reason)
        return Retry(reason, in_seconds=seconds)

    def _tell(self, job: Job, outcome: str) -> None:
        self._emit(RequestSent(type=job.task.type, outcome=outcome))


def _in_trace(request: Request, trace_parent: str | None) -> Request:
    if trace_parent is None or has(request.headers, TRACE_PARENT):
        return request
    return replace(request, own={**request.own, TRACE_PARENT: trace_parent})
