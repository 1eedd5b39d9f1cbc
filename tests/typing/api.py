"""What users write against the public API; it only has to type-check (`make check` does it)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from taskhub import Backoff, Cancel, Fail, Job, Parent, Retry, Snooze, handler, schedule


@handler("resize", queue="images", timeout=30, attempts=5)
async def resize(job: Job, url: str, width: int = 640) -> dict[str, Any]:
    """A context, then the payload's members by name and type."""
    job.progress(0.4, "half of it", {"page": job.saved or 0})
    job.log.info("resized", url=url, width=width)
    return {"url": url, "attempt": job.attempt}


@handler("count")
def count(payload: dict[str, Any]) -> int:
    """The payload whole, in a thread, without a context."""
    return len(payload)


@handler("greet")
def greet(name: str, job: Job) -> str:
    """The context may stand anywhere."""
    assert_type(job.attempt, int)
    assert_type(job.fence, int)
    assert_type(job.deadline, float)
    assert_type(job.cancelled, bool)
    assert_type(job.task.title, str)
    assert_type(job.parents, tuple[Parent, ...])
    assert_type(job.progress(1.0), None)
    return f"Hello {name}"


@schedule("0 6 * * MON-FRI", time_zone="Europe/Berlin", payload={"days": 1}, overlap="queue")
@schedule("@monthly", name="report-month", payload={"days": 31}, misfire="all")
@handler("report")
async def report(days: int) -> int:
    """As often as it has schedules."""
    return days


@handler("choose", attempts=1)
async def choose(kind: str) -> Retry | Snooze | Cancel | Fail | None:
    """Outcomes may be returned."""
    match kind:
        case "again":
            return Retry("the disk was full", in_seconds=5)
        case "later":
            return Snooze(60)
        case "never":
            return Cancel("nothing to do")
        case "broken":
            return Fail("it will never work")
    return None


@handler("insist")
def insist(kind: str) -> None:
    """Outcomes may be raised as well."""
    if kind == "later":
        raise Snooze(60, "the office is closed")
    raise Retry


class Limited(Exception):
    """Says when to come again."""

    after = 60.0


def until(error: Limited) -> Retry:
    """What is made of it."""
    return Retry(in_seconds=error.after)


@handler(
    "charge",
    backoff=Backoff(base=2, factor=3, cap=3_600),
    on_error={
        ValueError: Fail,
        LookupError: Cancel,
        ConnectionError: Backoff(base=30),
        TimeoutError: Retry(in_seconds=60),
        BlockingIOError: Snooze(600),
        Limited: until,
        OSError: lambda error: Retry(in_seconds=error.errno),
    },
)
async def charge(order: str) -> None:
    """What exceptions mean stands beside the handler."""


# The mark leaves the function what it was: its own types, callable in a test.
Outcome = Retry | Snooze | Cancel | Fail | None
plain: Callable[[str, Job], str] = greet
chosen: Callable[[str], Coroutine[Any, Any, Outcome]] = choose
insist("later")

# What can not work is refused where it is written (mypy fails when an ignore is not needed).
timed: Callable[[int], Coroutine[Any, Any, int]] = report
schedule(5)  # type: ignore[arg-type]
schedule("@daily", misfire="some")  # type: ignore[arg-type]
handler(5)  # type: ignore[arg-type]
handler("resize", "images")  # type: ignore[call-arg]
handler("resize", retries=5)  # type: ignore[call-arg]
handler("resize", on_error={ValueError: 5})  # type: ignore[dict-item]
handler("resize", on_error={5: Fail})  # type: ignore[dict-item]
Snooze()  # type: ignore[call-arg]
