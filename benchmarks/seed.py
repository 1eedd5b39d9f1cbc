"""Stores tasks while nothing runs, as the API would have stored them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from uuid_utils import uuid7

from taskhub.model import Status, TaskId, TaskItem
from taskhub.ports import Create, Write
from taskhub.store.sqlite import SqliteStore


def seed(database: Path, count: int) -> None:
    """Store no-op tasks, as the API would, while nothing runs."""
    asyncio.run(_seed(database, count))


async def _seed(database: Path, count: int) -> None:
    store = SqliteStore(database)
    await store.migrate()
    await store.open()
    for start in range(0, count, 512):
        writes: list[Write] = [Create(item=_item()) for _ in range(start, min(start + 512, count))]
        await store.commit(writes)
    await store.close()


def _item() -> TaskItem:
    now = datetime.now(UTC)
    return TaskItem(
        id=TaskId(str(uuid7())),
        title="Resize images",
        type="noop",
        queue="default",
        priority=0,
        status=Status.PENDING,
        payload=msgspec.Raw(b"{}"),
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=3,
        timeout_seconds=60.0,
        cancel_requested=False,
        created_at=now,
        updated_at=now,
        run_at=now,
        started_at=None,
        finished_at=None,
        created_by="bench",
    )
