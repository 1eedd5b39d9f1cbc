"""The worker of the stack that TaskHub is compared with: `arq benchmarks.stack.worker.Stack`."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from arq.connections import RedisSettings
from sqlalchemy import update

from benchmarks.stack.table import Task, connect, now


def redis_settings() -> RedisSettings:
    """The benchmark's own server, on a unix socket."""
    return RedisSettings(unix_socket_path=os.environ["STACK_REDIS"])


async def run(ctx: dict[str, Any], task_id: str) -> None:
    """Pending, Processing, Done; the work itself tells the time, as TaskHub's does."""
    began, sessions = time.time_ns(), ctx["sessions"]
    async with sessions() as session:
        change = {"Status": "Processing", "Attempts": Task.Attempts + 1, "StartedAt": now()}
        await session.execute(
            update(Task).where(Task.Id == task_id, Task.Status == "Pending").values(change)
        )
        await session.commit()
    async with sessions() as session:
        change = {"Status": "Done", "FinishedAt": now(), "Result": began}
        await session.execute(
            update(Task).where(Task.Id == task_id, Task.Status == "Processing").values(change)
        )
        await session.commit()


async def open_database(ctx: dict[str, Any]) -> None:
    """Once for each worker."""
    ctx["engine"], ctx["sessions"] = connect()


async def close_database(ctx: dict[str, Any]) -> None:
    """At its end."""
    await ctx["engine"].dispose()


class Stack:
    """As many at once as TaskHub's worker; a poll a hundred times as fast as arq's default."""

    functions: ClassVar = [run]
    redis_settings = redis_settings()
    max_jobs = 64
    poll_delay = 0.005
    on_startup = open_database
    on_shutdown = close_database
