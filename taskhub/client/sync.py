"""`SyncTaskHub`: the same for programs without a loop; a thread of its own runs one for them."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from msgspec import UNSET

from taskhub.client.address import Token
from taskhub.client.hub import TaskHub
from taskhub.client.retries import Retries
from taskhub.client.sse import Message
from taskhub.client.structs import (
    Attempt,
    BatchAnswer,
    BatchTask,
    BulkReport,
    Child,
    Event,
    EventFilter,
    FailureGroup,
    Filter,
    Handed,
    LeaseState,
    NewTask,
    Outcome,
    Parent,
    TaskItem,
    TaskPage,
    Verb,
    WorkType,
)
from taskhub.client.work import LEASE, Work

T = TypeVar("T")


CLOSED = "this SyncTaskHub is closed, or belongs to the process that has forked this one"


class LoopThread:
    """Owns one thread with one loop until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._is_open = True
        self._order = threading.RLock()  # the garbage collector may call again, from within a call
        self._thread = threading.Thread(target=self._work, name="taskhub-client", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether the caller is that thread, where nobody may wait for it."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have it run there; Ctrl-C here cancels it there. Raises RuntimeError when closed."""
        if self.is_here:
            coroutine.close()
            raise RuntimeError("this SyncTaskHub would wait for itself")
        if (future := self._begun(coroutine)) is None:
            raise RuntimeError(CLOSED)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def finish(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Have it run there, also where the garbage collector calls, which may be that thread."""
        future = self._begun(coroutine)
        if future is not None and not self.is_here:
            with suppress(CancelledError):
                future.result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run this as the last thing, then end loop and thread."""
        with self._order:
            future = self._begun(last)
            self._is_open = False
        if future is not None:
            future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
            if not self.is_here:
                self._thread.join()

    def _begun(self, coroutine: Coroutine[Any, Any, T]) -> Future[T] | None:
        """It runs there from now on; None: nothing does any more, and it is not begun."""
        with self._order:
            if self._is_open and self._thread.is_alive():
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        return None

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._end())
            self._loop.close()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


class SyncWork:
    """As `Work`, but for `serve`: whoever claims here renews the lease by itself."""

    def __init__(self, work: Work, thread: LoopThread) -> None:
        self._work, self._run = work, thread.run

    def register(self, name: str, **defaults: Unpack[WorkType]) -> None:
        """Make a type known that this worker does. See Work.register."""
        self._run(self._work.register(name, **defaults))

    def claim(
        self,
        types: Iterable[str],
        *,
        worker: str = "worker",
        limit: int = 1,
        lease_seconds: float = LEASE,
        wait: float = 0.0,
        queues: Iterable[str] = (),
    ) -> list[Handed]:
        """Up to `limit` tasks, the most urgent first. See Work.claim."""
        claim = self._work.claim(
            types,
            worker=worker,
            limit=limit,
            lease_seconds=lease_seconds,
            wait=wait,
            queues=queues,
        )
        return self._run(claim)

    def renew(self, held: Handed, *, lease_seconds: float = LEASE, wait: float = 0.0) -> LeaseState:
        """Keep it for so many seconds more. See Work.renew."""
        return self._run(self._work.renew(held, lease_seconds=lease_seconds, wait=wait))

    def progress(self, held: Handed, fraction: float, text: str = "", data: object = None) -> None:
        """Say how far the work is. See Work.progress."""
        self._run(self._work.progress(held, fraction, text, data))

    def complete(self, held: Handed, result: object = None) -> Outcome:
        """The task is done. See Work.complete."""
        return self._run(self._work.complete(held, result))

    def fail(
        self,
        held: Handed,
        error: str,
        *,
        exception: str | None = None,
        retry_in_seconds: float | None = None,
        final: bool = False,
    ) -> Outcome:
        """The attempt has failed. See Work.fail."""
        failing = self._work.fail(
            held, error, exception=exception, retry_in_seconds=retry_in_seconds, final=final
        )
        return self._run(failing)

    def release(self, held: Handed) -> None:
        """Give the task back: the attempt does not count."""
        self._run(self._work.release(held))


class SyncTaskHub:
    """One TaskHub, as `TaskHub` is, with plain methods; any thread may call them.

    Use it in `with`, or call `close` at the end. Not for use inside a loop: it would stand still.
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        timeout: float = 30.0,
        retries: Retries = Retries(),  # noqa: B008 - frozen
    ) -> None:
        self._hub = TaskHub(url, token, timeout=timeout, retries=retries)
        self._thread = LoopThread()
        self.work = SyncWork(self._hub.work, self._thread)
        """What external workers say."""
        self._end = weakref.finalize(self, _end, self._thread, self._hub)

    def __repr__(self) -> str:
        return repr(self._hub).replace("TaskHub", type(self).__name__, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give connections and thread back; may be called twice."""
        self._end()

    def create(self, title: str, *, key: str | None = None, **members: Unpack[NewTask]) -> TaskItem:
        """Store a new task; it is on disk when this returns. See TaskHub.create."""
        return self._run(self._hub.create(title, key=key, **members))

    def create_many(
        self, tasks: Iterable[BatchTask], *, atomic: bool = True, key: str | None = None
    ) -> BatchAnswer:
        """Store up to 1,000 new tasks in one transaction. See TaskHub.create_many."""
        return self._run(self._hub.create_many(tasks, atomic=atomic, key=key))

    def get(self, id: str, *, wait: float = 0.0) -> TaskItem:  # noqa: A002 - the API's word
        """The task as it is; with `wait`, once it has ended or after so many seconds."""
        return self._run(self._hub.get(id, wait=wait))

    def wait(self, id: str, timeout: float | None = None) -> TaskItem:  # noqa: A002 - the API's word
        """The task once it has ended; raises TimeoutError after so many seconds."""
        return self._run(self._hub.wait(id, timeout))

    def page(
        self,
        q: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        **where: Unpack[Filter],
    ) -> TaskPage:
        """One page of tasks, newest first."""
        return self._run(self._hub.page(q, limit=limit, cursor=cursor, **where))

    def tasks(
        self, q: str | None = None, *, limit: int | None = None, **where: Unpack[Filter]
    ) -> Generator[TaskItem, None, None]:
        """Tasks one by one, newest first, page after page."""
        return self._each(self._hub.tasks(q, limit=limit, **where))

    def parents(self, id: str) -> list[Parent]:  # noqa: A002 - the API's word
        """The tasks that a task is after. See TaskHub.parents."""
        return self._run(self._hub.parents(id))

    def children(
        self,
        id: str,  # noqa: A002 - the API's word
        *,
        limit: int | None = None,
    ) -> Generator[Child, None, None]:
        """The tasks that are after a task, one by one. See TaskHub.children."""
        return self._each(self._hub.children(id, limit=limit))

    def attempts(self, id: str) -> list[Attempt]:  # noqa: A002 - the API's word
        """What a task has been through. See TaskHub.attempts."""
        return self._run(self._hub.attempts(id))

    def failures(
        self,
        *,
        type: str | None = None,  # noqa: A002 - the API's word
        since: datetime | str | None = None,
        limit: int | None = None,
    ) -> Generator[FailureGroup, None, None]:
        """Failed tasks in groups of those that are alike. See TaskHub.failures."""
        return self._each(self._hub.failures(type=type, since=since, limit=limit))

    def cancel(self, id: str) -> TaskItem:  # noqa: A002 - the API's word
        """Cancel a task. See TaskHub.cancel."""
        return self._run(self._hub.cancel(id))

    def retry(self, id: str) -> TaskItem:  # noqa: A002 - the API's word
        """Let a failed or cancelled task begin anew. See TaskHub.retry."""
        return self._run(self._hub.retry(id))

    def bulk(
        self, verb: Verb, q: str = "", *, everything: bool = False, dry_run: bool = False
    ) -> BulkReport:
        """Cancel, retry or delete all tasks that match a search. See TaskHub.bulk."""
        return self._run(self._hub.bulk(verb, q, everything=everything, dry_run=dry_run))

    def bulk_steps(
        self, verb: Verb, q: str = "", *, everything: bool = False, dry_run: bool = False
    ) -> Generator[BulkReport, None, None]:
        """The same, request by request. See TaskHub.bulk_steps."""
        return self._each(self._hub.bulk_steps(verb, q, everything=everything, dry_run=dry_run))

    def ready(self) -> bool:
        """Whether it can take work in."""
        return self._run(self._hub.ready())

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = UNSET,
        key: str | None = None,
        hold: float = 0.0,
    ) -> Any:
        """Any route of the API: the JSON that it answers, as it is. See TaskHub.request."""
        coroutine = self._hub.request(method, path, query=query, body=body, key=key, hold=hold)
        return self._run(coroutine)

    def stream(
        self, path: str, *, query: Mapping[str, object] | None = None, last_event_id: str = ""
    ) -> Generator[Message, None, None]:
        """Any stream of events of the API, as it comes."""
        return self._each(self._hub.stream(path, query=query, last_event_id=last_event_id))

    def events(
        self, *, after: int | None = None, **where: Unpack[EventFilter]
    ) -> Generator[Event, None, None]:
        """Events of all tasks as they happen, without end. See TaskHub.events."""
        return self._each(self._hub.events(after=after, **where))

    def watch(self, id: str) -> Generator[TaskItem, None, None]:  # noqa: A002 - the API's word
        """The task as it is now, then after each change, the last time when it has ended."""
        return self._each(self._hub.watch(id))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._thread.run(coroutine)

    def _each(self, source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """What an asynchronous iterator gives, one by one."""
        turn = asyncio.Lock()
        try:
            while (found := self._run(_next(source, turn))) is not None:
                yield found
        finally:
            self._thread.finish(_close(source, turn))


async def _next(source: AsyncGenerator[T, None], turn: asyncio.Lock) -> T | None:
    async with turn:
        return await anext(source, None)


async def _close(source: AsyncGenerator[T, None], turn: asyncio.Lock) -> None:
    async with turn:  # a step that Ctrl-C has cut off may still be on its way out
        await source.aclose()


def _end(thread: LoopThread, hub: TaskHub) -> None:
    thread.close(hub.close())
