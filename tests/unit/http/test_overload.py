"""More than can be taken in, and stores that are ill: an answer at once, and the right one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from taskhub.config.sections import LimitsSection
from taskhub.errors import Busy, StoreFull, StoreLocked, TaskHubError
from taskhub.http.patience import Patience
from taskhub.kernel.mailbox import ActorFailed, Mailbox, MailboxClosed
from taskhub.messages import Put
from taskhub.obs.telemetry import RequestCrashed
from taskhub.ports import Refused

from tests.unit.http.house import House
from tests.waiting import until

NEW = {"title": "x"}


@contextmanager
def another_store(house: House, box: Mailbox[Put]) -> Iterator[None]:
    """The API writes to this mailbox, whose reader is the test."""
    before, house.context.store_box = house.context.store_box, box
    try:
        yield
    finally:
        house.context.store_box = before


async def answered(house: House, with_: Exception) -> Any:
    """The reply to a new task when the store's answer is this error."""
    box: Mailbox[Put] = Mailbox("store", 8)
    with another_store(house, box):
        asked = asyncio.ensure_future(house.ask("POST", "/tasks", json=NEW))
        (put,) = await box.take()
        put.fail(with_)
        return await asked


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (StoreLocked(), 503, "store-locked", "1"),
        (StoreFull(), 507, "store-full", "10"),
        (Busy(), 503, "busy", "1"),
        (ActorFailed("secret details"), 503, "outcome-unknown", "1"),
        (MailboxClosed("store"), 503, "stopping", "1"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_trouble_of_the_store_is_told(
    house: House, error: Exception, status: int, code: str, retry: str
) -> None:
    """The client learns whether, and when, it may try again."""
    reply = await answered(house, error)

    assert (reply.status, reply.json["type"]) == (status, f"urn:taskhub:problem:{code}")
    assert reply.headers["Retry-After"] == retry
    assert b"secret" not in reply.body


async def test_a_bug_is_answered_without_a_word_about_it(house: House) -> None:
    """The traceback stays in the house; the request id leads to it."""
    reply = await answered(house, KeyError("/etc/secret password=hunter2"))

    (crash,) = house.said(RequestCrashed)
    assert reply.status == 500
    assert b"hunter2" not in reply.body
    assert b"KeyError" not in reply.body
    assert "hunter2" in crash.trace
    assert crash.request_id == reply.json["requestId"] == reply.headers["X-Request-Id"]


async def test_a_task_that_the_database_refuses_is_the_clients_matter(house: House) -> None:
    """Bad input never gives a 5xx, also when only the database notices."""
    box: Mailbox[Put] = Mailbox("store", 8)
    with another_store(house, box):
        asked = asyncio.ensure_future(house.ask("POST", "/tasks", json=NEW))
        (put,) = await box.take()
        put.answer([Refused("some text of the driver")])
        reply = await asked

    assert reply.status == 422
    assert b"driver" not in reply.body


async def test_a_full_mailbox_is_503_at_once(house: House) -> None:
    """Nobody waits in a queue that does not move; the tasks before it are answered."""
    box: Mailbox[Put] = Mailbox("store", 2)
    with another_store(house, box):
        waiting = [asyncio.ensure_future(house.ask("POST", "/tasks", json=NEW)) for _ in range(2)]
        await until(lambda: len(box) == 2)

        full = await house.ask("POST", "/tasks", json=NEW)

        for put in await box.take(2):
            put.fail(Busy())
        await asyncio.gather(*waiting)

    assert (full.status, full.json["type"]) == (503, "urn:taskhub:problem:busy")
    assert full.headers["Retry-After"] == "1"


async def test_a_store_that_never_answers_is_not_waited_for(house: House) -> None:
    """The outcome is unknown, and that is what is said."""
    loop = asyncio.get_running_loop()
    house.context.patience = Patience(loop, seconds=0.0)
    box: Mailbox[Put] = Mailbox("store", 8)
    with another_store(house, box):
        asked = asyncio.ensure_future(house.ask("POST", "/tasks", json=NEW))
        await until(lambda: len(box) == 1)
        house.context.patience.look()
        reply = await asked
        box.abandon()

    assert (reply.status, reply.json["type"]) == (503, "urn:taskhub:problem:outcome-unknown")


async def test_patience_holds_only_what_is_not_over() -> None:
    """Answers that came are not kept alive by the deadline that they had."""
    loop = asyncio.get_running_loop()
    patience = Patience(loop, seconds=60.0)
    first, second, third = (loop.create_future() for _ in range(3))

    patience.watch(first)
    patience.watch(second)
    first.set_result(None)
    second.set_result(None)
    patience.watch(third)

    assert [wait for _, wait in patience._waits] == [third]
    patience.look()
    assert not third.cancelled()
    third.set_result(None)
    patience.look()
    assert not patience._waits


async def test_errors_of_ours_need_no_traceback() -> None:
    """Every error that we know by name has a status, a code and a sentence."""
    for error in every(TaskHubError):
        assert 400 <= error.status < 600
        assert error.code
        assert (error.__doc__ or "").strip()


def every(error: type[TaskHubError]) -> Iterator[type[TaskHubError]]:
    """An error and all that are made from it."""
    yield error
    for kind in error.__subclasses__():
        yield from every(kind)


async def test_a_read_that_never_comes_back_is_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that hangs holds no request for ever."""

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(house.store, "find", never)
    monkeypatch.setattr("taskhub.http.reading.in_time.__defaults__", (0.05,))

    reply = await house.ask("GET", "/tasks")

    assert (reply.status, reply.json["type"]) == (503, "urn:taskhub:problem:store-down")


@pytest.mark.parametrize(
    ("limits", "seen", "status"),
    [
        (LimitsSection(backlog=3), (3, 0.0), 503),
        (LimitsSection(backlog=3), (2, 99.0), 201),
        (LimitsSection(backlog_age=1.5), (0, 1.5), 503),
        (LimitsSection(backlog_age=1.5), (99, 1.4), 201),
        (LimitsSection(), (10**9, 10.0**9), 201),
    ],
    ids=["as many", "fewer", "as long", "shorter", "no limit"],
)
@pytest.mark.parametrize("path", ["/tasks", "/tasks/batch"])
async def test_more_than_workers_keep_up_with_is_refused(
    house: House, path: str, limits: LimitsSection, seen: tuple[int, float], status: int
) -> None:
    """Before it is stored; what is wrong in itself is told first."""
    house.config = replace(house.config, limits=limits)
    house.context.backlog.learn(*seen)
    body = NEW if path == "/tasks" else {"tasks": [NEW]}

    reply = await house.ask("POST", path, json=body)

    assert reply.status == status
    if status == 503:
        assert reply.json["type"] == "urn:taskhub:problem:backlog"
        assert reply.headers["Retry-After"] == "5"
    assert (await house.ask("POST", path, json={})).status == 422


async def test_a_task_that_was_taken_in_is_told_again_whatever_waits(house: House) -> None:
    """The answer was lost, and the key says that it is the same task."""
    house.config = replace(house.config, limits=LimitsSection(backlog=1))
    key = {"Idempotency-Key": '"one"'}
    first = await house.ask("POST", "/tasks", json=NEW, headers=key)
    house.context.backlog.learn(5, 0.0)

    again = await house.ask("POST", "/tasks", json=NEW, headers=key)

    assert (again.status, again.json["id"]) == (201, first.json["id"])
