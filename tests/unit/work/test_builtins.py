"""The handlers that need no code."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.model import Status
from taskhub.ports import Finish
from taskhub.work.builtins import fail, simulate, transform

from tests.unit.work.making import attempt, running


async def _finish(function: Any, kind: str, payload: Any, **more: Any) -> Finish:
    with running(function) as runner:
        ended = await runner.run(attempt(kind, payload, **more))
    assert isinstance(ended, Finish)
    return ended


@pytest.mark.virtual_clock
@pytest.mark.parametrize(("payload", "waited"), [(None, b"0.05"), ({"seconds": 600}, b"600.0")])
async def test_simulate_waits(payload: Any, waited: bytes) -> None:
    """Fifty milliseconds unless the payload says how long."""
    finish = await _finish(simulate, "simulate", payload)

    assert (finish.status, finish.result) == (Status.DONE, b'{"waited":%s}' % waited)


@pytest.mark.parametrize(
    ("operation", "value", "result"),
    [
        ("upper", {"name": ["ada", 1]}, b'{"name":["ADA",1]}'),
        ("lower", "ÄB", '"äb"'.encode()),
        ("title", "ada lovelace", b'"Ada Lovelace"'),
        ("trim", [" a "], b'["a"]'),
        ("reverse", "abc", b'"cba"'),
        ("slug", "Hello, World!", b'"hello-world"'),
    ],
)
async def test_transform_changes_every_text(operation: str, value: Any, result: bytes) -> None:
    """Keys, numbers and the shape stay as they are."""
    finish = await _finish(transform, "transform", {"value": value, "operation": operation})

    assert (finish.status, finish.result) == (Status.DONE, result)


async def test_an_operation_that_nobody_knows_fails_for_good() -> None:
    """The schema says so before; a stored task may still have it."""
    finish = await _finish(transform, "transform", {"value": "a", "operation": "explode"})

    assert finish.status is Status.FAILED


@pytest.mark.parametrize(
    ("number", "status"), [(1, Status.PENDING), (2, Status.PENDING), (3, Status.DONE)]
)
async def test_fail_fails_so_many_times_and_then_succeeds(number: int, status: Status) -> None:
    """So that a demo shows retries."""
    finish = await _finish(fail, "fail", {"times": 2}, attempt=number)

    assert finish.status is status
