"""Handlers that are always there, so that a first task needs no code; nothing else uses them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta

from taskhub.model import Retry
from taskhub.work.job import Job
from taskhub.work.registry import handler

Operation = Literal["upper", "lower", "title", "trim", "reverse", "slug"]


@handler("simulate", timeout=3_600.0)
async def simulate(seconds: Annotated[float, Meta(ge=0, le=3_600)] = 0.05) -> dict[str, float]:
    """Wait `seconds`, as work would; the default type of a task."""
    await asyncio.sleep(seconds)
    return {"waited": seconds}


@handler("transform")
async def transform(value: Any, operation: Operation = "upper") -> Any:
    """Change every text inside a JSON value; keys, numbers and the shape stay as they are.

    `slug` makes "Hello, World" into "hello-world"; the other operations do what they say:
    `{"value": {"name": " ada "}, "operation": "trim"}` gives `{"name": "ada"}`.
    """
    return _each_text(value, _OPERATIONS[operation])


@handler("fail", attempts=5)
async def fail(job: Job, times: Annotated[int, Meta(ge=0)] = 1) -> dict[str, int]:
    """Fail the first `times` attempts, then succeed: shows how retries look."""
    if job.attempt <= times:
        raise Retry(f"attempt {job.attempt} of {times} that fail on purpose")
    return {"attempts": job.attempt}


def _slug(text: str) -> str:
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")


_OPERATIONS: dict[Operation, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "trim": str.strip,
    "reverse": lambda text: text[::-1],
    "slug": _slug,
}


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case list():
            return [_each_text(item, change) for item in value]
        case dict():
            return {key: _each_text(item, change) for key, item in value.items()}
        case _:
            return value
