"""A worker on the client's calls: claims tasks, renews their leases, says what came of them."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskhub.client.errors import Invalid, LeaseOver, Problem, TaskHubError, TooLarge
from taskhub.client.retries import may_pass

if TYPE_CHECKING:
    from taskhub.client.structs import Handed, Parent, TaskItem
    from taskhub.client.work import Work

HOLD = 50.0
"""Seconds that the server may keep a claim back while there is nothing to do."""
PAUSE = 1.0
"""Seconds: between two reports of a task's progress, before the first renewal, after trouble."""

LONGEST = 4_000
"""Characters of an error that are kept."""

log = logging.getLogger("taskhub.client")


class Failure(Exception):
    """Raised by a handler: when the task comes again, or that it never shall."""

    def __init__(
        self, reason: str, *, retry_in_seconds: float | None = None, final: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.retry_in_seconds, self.final = reason, retry_in_seconds, final


class Job:
    """A task in the hands of a handler; any thread may use it."""

    def __init__(self, held: Handed, *, is_async: bool = True) -> None:
        self.held, self._is_async = held, is_async
        self.cancelled = False
        """Whether to stop: its cancel is wished, or its lease is over."""
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._report: tuple[float, str, object] | None = None

    @property
    def task(self) -> TaskItem:
        """The task as it was when it was claimed; its `progress` is what was told last before."""
        return self.held.task

    @property
    def parents(self) -> tuple[Parent, ...]:
        """The tasks that it is after, with their results."""
        return self.held.parents

    @property
    def fence(self) -> int:
        """Grows with each claim: pass it to other systems, so that they can refuse a late one."""
        return self.held.fence

    def progress(self, fraction: float, text: str = "", data: object = None) -> None:
        """Tell how far the work is; never waits, and of many in a second the latest is told."""
        self._report = (fraction, text, data)
        self._loop.call_soon_threadsafe(self._news.set)

    async def done_by(self, handler: Handler) -> Any:
        """What the handler returns."""
        if self._is_async:
            return await handler(self)
        return await asyncio.to_thread(handler, self)

    def stop(self, doing: asyncio.Future[Any]) -> None:
        """Make the handler stop; one in a thread must see to that itself."""
        self.cancelled = True
        if self._is_async:
            doing.cancel()

    async def has_news(self) -> None:
        """Wait until there is a report."""
        await self._news.wait()

    def news(self) -> tuple[float, str, object] | None:
        """The latest report, once."""
        self._news.clear()
        report, self._report = self._report, None
        return report


Handler = Callable[[Job], Any]
"""An `async def` or a `def`; what it returns is the task's result."""


class Worker:
    """Does tasks of some types, several at once."""

    def __init__(
        self, work: Work, handlers: Mapping[str, Handler], concurrency: int, wish: dict[str, Any]
    ) -> None:
        """`wish`: what is said with each claim."""
        self._work, self._handlers, self._concurrency = work, dict(handlers), concurrency
        self._wish, self._lease = wish, float(wish["lease_seconds"])
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """As `Work.serve`."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                room = self._concurrency - len(self._running)
                if room < 1:
                    await _first({*self._running, stopping})
                    continue
                for held in await self._claimed(room, stopping):
                    task = asyncio.ensure_future(self._do(held))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
            await _all(self._running)
        finally:
            stopping.cancel()
            for task in self._running:
                task.cancel()
            await _all(self._running)

    async def _claimed(self, room: int, stopping: asyncio.Future[Any]) -> list[Handed]:
        """Some tasks, at most so many; none when it is to stop, or after trouble that may pass."""
        ask = self._work.claim(self._handlers, limit=min(room, 100), wait=HOLD, **self._wish)
        claim = asyncio.ensure_future(ask)
        try:
            await _first({claim, stopping})
        finally:
            claim.cancel()  # who hangs up is given nothing
            await _all({claim})
        if claim.cancelled():
            return []
        error = claim.exception()
        if error is None:
            return claim.result()
        if not (isinstance(error, TaskHubError) and may_pass(error, is_repeatable=True)):
            raise error
        log.warning("claim: %s", error)
        await asyncio.wait({stopping}, timeout=PAUSE)
        return []

    async def _do(self, held: Handed) -> None:
        """One task to its end; whatever becomes of it, the next one is done."""
        handler = self._handlers[held.task.type]
        job = Job(held, is_async=inspect.iscoroutinefunction(handler))
        doing = asyncio.ensure_future(job.done_by(handler))
        helpers = [
            asyncio.ensure_future(each) for each in (self._keep(job, doing), self._report(job))
        ]
        try:
            await asyncio.wait({doing})
            await self._settle(job, doing)
        except asyncio.CancelledError:
            job.stop(doing)
            await asyncio.wait({doing})  # also for a thread: nobody else may begin before it ends
            if doing.cancelled():
                await self._say(held, "release", self._work.release(held))
            else:
                await self._settle(job, doing)
            raise
        finally:
            for helper in helpers:
                helper.cancel()
            await _all(helpers)

    async def _keep(self, job: Job, doing: asyncio.Future[Any]) -> None:
        """Renew the lease until there is nobody to renew it for; have the handler stop in time."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._lease
        await asyncio.sleep(min(PAUSE, self._lease / 3))
        while True:
            began, hold = clock(), 0.0 if job.cancelled else self._lease / 3
            try:
                state = await self._work.renew(job.held, lease_seconds=self._lease, wait=hold)
            except TaskHubError as error:
                if isinstance(error, LeaseOver) or clock() > until:
                    log.warning("%s renew %s", job.held.id, getattr(error, "status", error))
                    job.stop(doing)
                    return
                await asyncio.sleep(PAUSE)
                continue
            until = began + self._lease
            if state.cancel_requested and not job.cancelled:
                job.stop(doing)
            if job.cancelled:  # there is nothing more to wait for
                await asyncio.sleep(self._lease / 3)

    async def _report(self, job: Job) -> None:
        while True:
            await job.has_news()
            await self._tell(job)
            await asyncio.sleep(PAUSE)

    async def _tell(self, job: Job) -> None:
        if (report := job.news()) is not None:
            with suppress(TaskHubError, TypeError):  # the next report says more anyway
                await self._work.progress(job.held, *report)

    async def _settle(self, job: Job, doing: asyncio.Future[Any]) -> None:
        """Say what came of it; of a lease that is over nobody wants to hear."""
        held = job.held
        if doing.cancelled() or doing.exception() is not None:
            await self._tell(job)  # the next attempt goes on from there
        if doing.cancelled():
            await self._say(held, "fail", self._work.fail(held, "stopped while it ran"))
        elif (error := doing.exception()) is not None:
            await self._say(held, "fail", _failed(self._work, held, error))
        else:
            await self._complete(held, doing.result())

    async def _complete(self, held: Handed, result: object) -> None:
        try:
            await self._say(held, "complete", self._work.complete(held, result))
        except (Invalid, TooLarge, TypeError, ValueError, RecursionError) as error:
            reason = f"the result cannot be kept: {error}"[:LONGEST]
            await self._say(held, "fail", self._work.fail(held, reason, final=True))

    async def _say(self, held: Handed, verb: str, saying: Coroutine[Any, Any, object]) -> None:
        try:
            await saying
        except TaskHubError as error:  # its lease runs out, and the task comes again
            if verb == "complete" and isinstance(error, Invalid | TooLarge):
                raise
            status = error.status if isinstance(error, Problem) else error
            log.warning("%s %s %s", held.id, verb, status)
        else:
            log.info("%s %s 200", held.id, verb)


def _failed(work: Work, held: Handed, error: BaseException) -> Coroutine[Any, Any, object]:
    if isinstance(error, Failure):
        again, final = error.retry_in_seconds, error.final
        return work.fail(
            held, error.reason[:LONGEST] or "failed", retry_in_seconds=again, final=final
        )
    name = type(error).__name__
    kind = name if re.fullmatch(r"[A-Za-z_]\w{0,99}", name, re.ASCII) else None
    return work.fail(held, f"{name}: {error}"[:LONGEST], exception=kind)


async def _first(futures: set[asyncio.Future[Any]]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _all(futures: Any) -> None:
    await asyncio.gather(*futures, return_exceptions=True)
