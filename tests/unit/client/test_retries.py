"""Trying again: what for, how often, how long, and not one moment before the server says so."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from taskhub.client import Retries, TaskHub
from taskhub.client import errors as e
from taskhub.client.retries import retry_after

from tests.unit.client.conftest import QUICK
from tests.unit.client.server import ID, Server, cut, problem, task


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, problem(429, "rate-limited")),
        (503, problem(503, "busy")),
        (503, problem(503, "outcome-unknown")),
        (502, b"<html>"),
        (503, b"<html>"),
        (504, b"<html>"),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again(
    server: Server, hub: TaskHub, status: int, body: object
) -> None:
    """Also where a proxy says it."""
    server.says(status, body)
    server.says(200, task())

    assert (await hub.get(ID)).id == ID
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "code"), [(400, "malformed"), (403, "forbidden"), (422, "invalid"),
                         (500, "internal"), (507, "store-full")],
)  # fmt: skip
async def test_what_will_not_pass_is_not(
    server: Server, hub: TaskHub, status: int, code: str
) -> None:
    """It would be the same again."""
    server.says(status, problem(status, code))

    with pytest.raises(e.Problem):
        await hub.create("T")

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "count"), [("busy", 5), ("stopping", 5), ("outcome-unknown", 1), ("", 1)]
)
async def test_an_act_comes_again_only_when_it_was_not_done(
    server: Server, hub: TaskHub, code: str, count: int
) -> None:
    """A retry by an operator must not happen twice; a server that refused has done nothing."""
    server.says(503, problem(503, code) if code else b"<html>")

    with pytest.raises((e.Unavailable, e.Unexpected)) as caught:
        await hub.retry(ID)

    assert len(server.requests) == caught.value.attempts == count


async def test_attempts_are_bounded(server: Server) -> None:
    """And the last error is told."""
    server.does(cut)

    async with TaskHub(server.url, retries=Retries(attempts=3, first=0.001)) as hub:
        with pytest.raises(e.Unreachable) as caught:
            await hub.create("T")

    assert len(server.requests) == caught.value.attempts == 3


async def test_nobody_there_is_tried_again_and_told() -> None:
    """In words that help."""
    with socket.socket() as taken:  # bound, and not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with TaskHub(url, retries=QUICK) as hub:
            with pytest.raises(e.Unreachable) as caught:
                await hub.retry(ID)

    assert str(caught.value) == f"{url}: nobody listens there: is TaskHub running?"
    assert (caught.value.attempts, caught.value.was_sent) == (5, False)


async def test_a_pause_that_is_too_long_is_not_waited_for(server: Server, hub: TaskHub) -> None:
    """The caller learns how long it would be."""
    server.says(429, problem(429, "rate-limited"), Retry_After="3600")

    with pytest.raises(e.Problem) as caught:
        await hub.create("T")

    assert (caught.value.status, caught.value.retry_after) == (429, 3_600)
    assert len(server.requests) == 1


def test_a_pause_grows_is_spread_and_never_shorter_than_asked_for() -> None:
    """Clients that were sent away together do not come back together."""
    retries = Retries(attempts=9, first=1.0, longest=4.0, within=1_000.0)

    for attempt, most in enumerate([1.0, 2.0, 4.0, 4.0, 4.0], 1):
        pauses = [retries.pause(attempt, None, 0.0) for _ in range(50)]
        assert all(pause is not None and most / 2 <= pause <= most for pause in pauses)
        assert len(set(pauses)) > 1
        asked = [retries.pause(attempt, 7.0, 0.0) for _ in range(50)]
        assert all(pause is not None and 7.0 <= pause <= 7.0 + most for pause in asked)


def test_there_is_an_end_of_attempts_and_of_time() -> None:
    """Both bounds hold."""
    retries = Retries(attempts=3, within=10.0)

    assert retries.pause(2, None, 0.0) is not None
    assert retries.pause(3, None, 0.0) is None
    assert retries.pause(1, 9.0, 0.0) is not None
    assert retries.pause(1, 9.0, 1.0) is None
    assert Retries(attempts=10**9).pause(10**6, None, 0.0) is not None


@pytest.mark.parametrize(
    ("field", "seconds"),
    [(None, None), ("0", 0.0), ("120", 120.0), ("9" * 40, 999_999_999.0), ("soon", None),
     ("-5", None), ("1.5", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("0" * 20 + "7", 7.0),
     (f"Wed, 21 Oct {'9' * 30} 07:28:00 GMT", None), ("9" * 5_000, 999_999_999.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(field: str | None, seconds: float | None) -> None:
    """What is neither is not there."""
    assert retry_after(field) == seconds


def test_a_date_counts_from_the_date_of_the_answer() -> None:
    """A clock that is wrong here must not bring us back too early."""
    found = retry_after("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT")

    assert found == 30.0


def test_a_date_to_come_is_so_many_seconds_away() -> None:
    """By our own clock."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    found = retry_after(soon)

    assert found is not None
    assert 90 < found <= 100
