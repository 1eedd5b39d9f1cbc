"""Handlers that do to their process whatever user code may do, for processors under test."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

from taskhub import Job, handler


@handler("speaks")
async def speaks(job: Job, name: str) -> dict[str, str]:
    """Log, report, answer."""
    job.log.warning("hello", name=name)
    job.progress(0.5, "half")
    return {"hello": name}


@handler("raises")
def raises() -> None:
    """Fail as usual."""
    raise ValueError("no")


@handler("exits")
async def exits(code: int) -> None:
    """End the process without a word."""
    os._exit(code)


@handler("waits")
async def waits(job: Job) -> None:
    """Tell that it runs, then wait to be cancelled."""
    job.log.info("runs", pid=os.getpid())
    await asyncio.Event().wait()


@handler("blocks-loop")
async def blocks_loop(job: Job) -> None:
    """Stand on the event loop."""
    job.log.info("runs", pid=os.getpid())
    time.sleep(3_600)  # noqa: ASYNC251, TID251 - that is the fault


@handler("blocks-thread")
def blocks_thread(job: Job) -> None:
    """Never look at `job.cancelled`."""
    job.log.info("runs", pid=os.getpid())
    threading.Event().wait()


@handler("leaves-child")
async def leaves_child(job: Job) -> None:
    """Leave a process behind, and die."""
    child = os.fork()
    if child == 0:
        signal.pause()
    job.log.info("forked", pid=child)
    os.kill(os.getpid(), signal.SIGKILL)


@handler("environment")
def environment() -> list[str]:
    """The names of what the process finds in its environment."""
    return sorted(os.environ)


@handler("notes")
async def notes(job: Job, *, blocks: bool = False, dies: bool = False) -> None:
    """Be short, most of the time."""
    job.log.info("notes", id=job.task.id)
    if dies:
        os._exit(9)
    if blocks:
        time.sleep(3_600)  # noqa: ASYNC251, TID251 - that is the fault
