"""What users write against `taskhub.client`; it only has to type-check (`make check` does it)."""

from __future__ import annotations

from contextlib import aclosing, closing
from datetime import UTC, datetime
from typing import Any, assert_type

from taskhub.client import (
    BulkReport,
    Event,
    Handed,
    Job,
    LeaseState,
    Outcome,
    Retries,
    Status,
    SyncTaskHub,
    TaskHub,
    TaskItem,
    TaskPage,
    errors,
)


async def resize(job: Job) -> dict[str, int]:
    """A handler in the loop."""
    job.progress(0.5, "half")
    return {"attempt": job.task.attempts}


def scale(job: Job) -> None:
    """A handler in a thread."""
    assert_type(job.cancelled, bool)


async def asynchronous(hub: TaskHub) -> None:
    """Every method has the types of its answers."""
    task = await hub.create("T", type="resize", payload={"url": "u"}, run_at=datetime.now(UTC))
    assert_type(task, TaskItem)
    assert_type(task.status, Status)
    assert_type(task.status.is_final, bool)
    assert_type(task.result, Any)
    assert_type(task.finished_at, datetime | None)
    assert_type(await hub.wait(task.id, timeout=5), TaskItem)
    assert_type(await hub.get(task.id, wait=5), TaskItem)
    assert_type(await hub.page("status:failed", limit=5), TaskPage)
    assert_type(await hub.bulk("cancel", "type:image.*", dry_run=True), BulkReport)
    assert_type(await hub.ready(), bool)
    async for found in hub.tasks("status:failed", limit=5, queue="images"):
        assert_type(found, TaskItem)
    async for changed in hub.watch(task.id):
        assert_type(changed, TaskItem)
    async for event in hub.events(after=7, event="TaskDone"):
        assert_type(event, Event)
    for held in await hub.work.claim(["resize"], wait=5):
        assert_type(held, Handed)
        assert_type(held.task, TaskItem)
        assert_type(await hub.work.renew(held), LeaseState)
        assert_type(await hub.work.complete(held, {"any": "JSON"}), Outcome)
    await hub.work.serve({"resize": resize, "scale": scale}, concurrency=4)
    async with aclosing(hub.watch(task.id)) as changes:
        assert_type(await anext(changes), TaskItem)


def synchronous(hub: SyncTaskHub) -> None:
    """The same without a loop."""
    task = hub.create("T", delay_seconds=1.5, key="order-7")
    many = hub.create_many([{"title": "T", "run_at": datetime.now(UTC)}], atomic=False)
    assert_type(many.items[0].id, str | None)
    assert_type(task, TaskItem)
    assert_type(hub.cancel(task.id), TaskItem)
    assert_type(hub.retry(task.id), TaskItem)
    assert_type([found.id for found in hub.tasks("type:image.*")], list[str])
    assert_type(next(hub.events()), Event)
    with closing(hub.watch(task.id)) as changes:
        assert_type(next(changes), TaskItem)
    try:
        hub.get("x")
    except errors.Invalid as error:
        assert_type(error.errors[0].pointer, str)
        assert_type(error.retry_after, float | None)
    except errors.Unreachable as error:
        assert_type(error.was_sent, bool)


async def fresh() -> str:
    """A token from somewhere."""
    return "a.b.c"


TaskHub("https://hub.example", fresh, timeout=5, retries=Retries(attempts=2))
TaskHub("https://hub.example", lambda: "a.b.c")
SyncTaskHub("https://hub.example", "a.b.c")


async def wrong(hub: TaskHub) -> None:
    """What can not work is refused where it is written."""
    await hub.create(5)  # type: ignore[arg-type]
    await hub.create_many([{"queue": "q"}])  # type: ignore[typeddict-item]
    await hub.create("T", colour="red")  # type: ignore[call-arg]
    await hub.create("T", priority="high")  # type: ignore[arg-type]
    await hub.wait("x", "5 s")  # type: ignore[arg-type]
    await hub.bulk("destroy", "type:x")  # type: ignore[arg-type]
    hub.tasks(owner="me")  # type: ignore[call-arg]
    TaskHub("https://hub.example", 5)  # type: ignore[arg-type]
