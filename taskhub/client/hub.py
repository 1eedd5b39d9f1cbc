"""`TaskHub`: a task server as an object whose methods are its routes, asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from math import inf
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import UNSET

from taskhub.client.address import Token, origin_of
from taskhub.client.errors import Conflict, Problem, Unexpected
from taskhub.client.line import Ask, Line
from taskhub.client.naming import members_of, query_of, quoted
from taskhub.client.retries import Retries
from taskhub.client.sse import Message
from taskhub.client.streams import Opened, Stream, event_of
from taskhub.client.structs import (
    Attempt,
    AttemptList,
    BatchAnswer,
    BatchTask,
    BulkReport,
    Child,
    ChildPage,
    Event,
    EventFilter,
    FailureGroup,
    FailurePage,
    Filter,
    NewTask,
    Parent,
    ParentList,
    Status,
    TaskItem,
    TaskPage,
    Verb,
    added,
)
from taskhub.client.work import Work

PAGE = 200
"""Tasks in one answer, at most."""
HOLD = 50.0
"""Seconds that the server may keep one answer back while we wait for the end of a task."""
GRACE = 5.0
"""Seconds beyond its time in which a wait's last answer may come."""

NOT_READY = 503

_encode = msgspec.json.Encoder().encode


class TaskHub:
    """One TaskHub. Use it in `async with`, or call `close` at the end.

    `token`: a bearer token, or a function (plain or `async def`) that gives one; it is asked before
    each request. `timeout`: seconds one request may take, beside what it asks the server to wait.
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        timeout: float = 30.0,
        retries: Retries = Retries(),  # noqa: B008 - frozen
    ) -> None:
        self._line = Line(url, token, timeout, retries)
        self.work = Work(self._line)
        """What external workers say."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({origin_of(self._line.address)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back; may be called twice."""
        await self._line.close()

    async def create(
        self, title: str, *, key: str | None = None, **members: Unpack[NewTask]
    ) -> TaskItem:
        """Store a new task; it is on disk when this returns.

        `key` is its Idempotency-Key: the same key and members give the same task, whoever calls
        and however often. Without one a new one is made here: whatever happens on the way, this
        call makes one task.
        """
        body = {"title": title, **members_of(members)}
        headers = {"Idempotency-Key": quoted(str(uuid4()) if key is None else key)}
        ask = Ask(method="POST", path="/tasks", body=_encode(body), headers=headers)
        return await self._line.fetch(ask, TaskItem)

    async def create_many(
        self, tasks: Iterable[BatchTask], *, atomic: bool = True, key: str | None = None
    ) -> BatchAnswer:
        """Store up to 1,000 new tasks in one transaction: all or none (Invalid names every error).

        With `atomic=False` each for itself: the answer says what has become of each. `key` is the
        Idempotency-Key of the whole, as that of `create`.
        """
        bodies = [members_of(task) for task in tasks]
        body = {"tasks": bodies} if atomic else {"tasks": bodies, "atomic": False}
        headers = {"Idempotency-Key": quoted(str(uuid4()) if key is None else key)}
        ask = Ask(method="POST", path="/tasks/batch", body=_encode(body), headers=headers)
        return await self._line.fetch(ask, BatchAnswer)

    async def get(self, id: str, *, wait: float = 0.0) -> TaskItem:  # noqa: A002 - the API's word
        """The task as it is; with `wait`, once it has ended or after so many seconds (up to 60)."""
        return await self._line.fetch(_held(id, wait), TaskItem)

    async def wait(self, id: str, timeout: float | None = None) -> TaskItem:  # noqa: A002, ASYNC109 - the loop is ours
        """The task once it has ended; raises TimeoutError after so many seconds."""
        end = inf if timeout is None else asyncio.get_running_loop().time() + timeout
        limit, task = asyncio.timeout_at(end + GRACE), None
        try:
            async with limit:
                task = await self._ended(id, end)
        except TimeoutError:
            if not limit.expired():
                raise
        if task is None:
            raise TimeoutError(f"the task has not ended after {timeout} s")
        return task

    async def _ended(self, id_: str, end: float) -> TaskItem | None:
        """The task once it has ended; None at this time of the loop."""
        clock = asyncio.get_running_loop().time
        while True:
            hold = min(HOLD, max(0.0, end - clock()))
            task = await self._line.fetch(_held(id_, hold, is_patient=True), TaskItem)
            if task.status.is_final:
                return task
            if clock() >= end:
                return None

    async def page(
        self,
        q: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        **where: Unpack[Filter],
    ) -> TaskPage:
        """One page of tasks, newest first; `q` is a search, `cursor` the page before's `next`."""
        query = query_of({"q": q, **where, "cursor": cursor, "limit": limit})
        return await self._line.fetch(Ask(path="/tasks", query=query), TaskPage)

    async def tasks(
        self, q: str | None = None, *, limit: int | None = None, **where: Unpack[Filter]
    ) -> AsyncGenerator[TaskItem, None]:
        """Tasks one by one, newest first, page after page; `limit` None: all that match."""
        cursor: str | None = None
        while limit is None or limit > 0:
            size = PAGE if limit is None else min(limit, PAGE)
            page = await self.page(q, limit=size, cursor=cursor, **where)
            for task in page.items:
                yield task
            limit = None if limit is None else limit - len(page.items)
            if (cursor := page.next) is None:
                return

    async def parents(self, id: str) -> list[Parent]:  # noqa: A002 - the API's word
        """The tasks that a task is after, with their results, in their order."""
        return (await self._line.fetch(Ask(path=_path(id, "/parents")), ParentList)).items

    async def children(
        self,
        id: str,  # noqa: A002 - the API's word
        *,
        limit: int | None = None,
    ) -> AsyncGenerator[Child, None]:
        """The tasks that are after a task, newest first, page after page."""
        cursor: str | None = None
        while limit is None or limit > 0:
            query = query_of({"cursor": cursor, "limit": min(limit or PAGE, PAGE)})
            page = await self._line.fetch(Ask(path=_path(id, "/children"), query=query), ChildPage)
            for child in page.items:
                yield child
            limit = None if limit is None else limit - len(page.items)
            if (cursor := page.next) is None:
                return

    async def attempts(self, id: str) -> list[Attempt]:  # noqa: A002 - the API's word
        """What a task has been through, oldest first."""
        return (await self._line.fetch(Ask(path=_path(id, "/attempts")), AttemptList)).items

    async def failures(
        self,
        *,
        type: str | None = None,  # noqa: A002 - the API's word
        since: datetime | str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[FailureGroup, None]:
        """Failed tasks in groups of those that are alike, the latest first, page after page."""
        cursor: str | None = None
        while limit is None or limit > 0:
            size = PAGE if limit is None else min(limit, PAGE)
            query = query_of({"type": type, "since": since, "cursor": cursor, "limit": size})
            page = await self._line.fetch(Ask(path="/tasks/failures", query=query), FailurePage)
            for group in page.items:
                yield group
            limit = None if limit is None else limit - len(page.items)
            if (cursor := page.next) is None:
                return

    async def cancel(self, id: str) -> TaskItem:  # noqa: A002 - the API's word
        """Cancel a task; one that runs is asked to stop. Raises Conflict when it has ended."""
        try:
            return await self._line.fetch(_act(id, "cancel"), TaskItem)
        except Conflict as error:
            if error.attempts > 1:  # an earlier attempt may have done it, and its answer was lost
                task = await self.get(id)
                if task.status is Status.CANCELLED:
                    return task
            raise

    async def retry(self, id: str) -> TaskItem:  # noqa: A002 - the API's word
        """Let a failed or cancelled task begin anew (for operators).

        When the line is cut this is not sent again: the task may have run, and failed, since.
        """
        return await self._line.fetch(_act(id, "retry", is_repeatable=False), TaskItem)

    async def bulk(
        self, verb: Verb, q: str = "", *, everything: bool = False, dry_run: bool = False
    ) -> BulkReport:
        """Cancel, retry or delete all tasks that match a search; what came of it (for operators).

        `dry_run`: only count them. `everything`: every task is meant, and no search forgotten.
        """
        total = BulkReport(matched=0, changed=0, skipped=0)
        steps = self.bulk_steps(verb, q, everything=everything, dry_run=dry_run)
        async with aclosing(steps) as reports:
            async for report in reports:
                total = added(total, report)
        return total

    async def bulk_steps(
        self, verb: Verb, q: str = "", *, everything: bool = False, dry_run: bool = False
    ) -> AsyncGenerator[BulkReport, None]:
        """The same, request by request: each report is of its own request alone.

        Who stops asking has stopped the act. A retry whose line is cut is not sent again: tasks
        may have run, and failed, since.
        """
        wish: dict[str, object] = {"all": True} if everything else {"q": q}
        body = {**wish, "dryRun": True} if dry_run else wish
        while True:
            ask = Ask(
                method="POST",
                path=f"/tasks/bulk/{verb}",
                body=_encode(body),
                is_repeatable=dry_run or verb != "retry",
            )
            report = await self._line.fetch(ask, BulkReport)
            yield report
            if report.next is None:
                return
            body = {**body, "cursor": report.next}

    async def ready(self) -> bool:
        """Whether it can take work in at this moment; raises Unreachable when nobody is there."""
        try:
            await self._line.once(Ask(path="/ready"))
        except (Problem, Unexpected) as error:
            if error.status == NOT_READY:
                return False
            raise
        return True

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = UNSET,
        key: str | None = None,
        hold: float = 0.0,
    ) -> Any:
        """Any route of the API: the JSON that it answers, as it is (None: nothing).

        `key`: its Idempotency-Key, with which a POST may be sent again. `hold`: seconds that the
        server was asked to keep the answer back.
        """
        ask = Ask(
            method=method,
            path=path,
            query=query_of(query or {}),
            body=None if body is UNSET else _encode(body),
            headers={} if key is None else {"Idempotency-Key": quoted(key)},
            hold=hold,
            is_repeatable=key is not None or method != "POST",
        )
        return await self._line.fetch_any(ask)

    async def stream(
        self, path: str, *, query: Mapping[str, object] | None = None, last_event_id: str = ""
    ) -> AsyncGenerator[Message, None]:
        """Any stream of events of the API, as it comes; after a cut it goes on where it was."""
        stream = Stream(self._line, path, query_of(query or {}), last_event_id)
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                if not isinstance(message, Opened):
                    yield message

    async def events(
        self, *, after: int | None = None, **where: Unpack[EventFilter]
    ) -> AsyncGenerator[Event, None]:
        """Events of all tasks as they happen, without end; after a cut it goes on where it was.

        `after`: the `seq` of the last event seen, for a program that was away; 0: from the first.
        """
        last = "" if after is None else str(after)
        stream = self.stream("/events", query=where, last_event_id=last)
        async with aclosing(stream) as messages:
            async for message in messages:
                if (event := event_of(message)) is not None:
                    yield event

    async def watch(self, id: str) -> AsyncGenerator[TaskItem, None]:  # noqa: A002 - the API's word
        """The task as it is now, then after each change, the last time when it has ended."""
        known: TaskItem | None = None
        stream = Stream(self._line, _path(id, "/events"), {}, "")
        async with aclosing(stream.messages()) as messages:
            async for message in messages:  # it only rings: the row is the truth
                if known is None or _is_news(message, known):
                    task = await self._line.fetch(_held(id, 0.0, is_patient=True), TaskItem)
                    if task != known:
                        known = task
                        yield task
                    if task.status.is_final:
                        return


def _is_news(message: Message | Opened, known: TaskItem) -> bool:
    """Whether it is later than what is known: a stream begins with the history."""
    event = None if isinstance(message, Opened) else event_of(message)
    return event is None or event.at is None or event.at > known.updated_at


def _path(id_: str, verb: str = "") -> str:
    """The path of a task, whatever was given for its id."""
    return f"/tasks/{quote(id_, safe='')}{verb}"


def _act(id_: str, verb: str, *, is_repeatable: bool = True) -> Ask:
    return Ask(method="POST", path=_path(id_, f"/{verb}"), is_repeatable=is_repeatable)


def _held(id_: str, hold: float, *, is_patient: bool = False) -> Ask:
    """The question for a task that may be answered so many seconds later, once it has ended."""
    query = {"wait": f"{round(hold, 3):g}"} if hold else {}
    return Ask(path=_path(id_), query=query, hold=hold, is_patient=is_patient)
