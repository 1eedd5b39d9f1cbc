"""A worker for TaskHub with its Python client: it counts the words of a text.

TASKHUB_URL=http://127.0.0.1:8080 TASKHUB_TOKEN=... python examples/workers/worker.py
"""

import asyncio
import logging
import os
import signal

from taskhub.client import Job, TaskHub


async def count_words(job: Job) -> dict[str, int]:
    """Its result; what it raises is the task's failure."""
    await asyncio.sleep(job.task.payload.get("seconds", 0))
    job.progress(1.0, "counted")
    return {"words": len(job.task.payload["text"].split())}


async def main() -> None:
    """Do tasks until SIGTERM or Ctrl-C; what is in hand then is finished first."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with TaskHub(os.environ["TASKHUB_URL"], os.environ["TASKHUB_TOKEN"]) as hub:
        await hub.work.register("count-words", timeout_seconds=300)
        lease = float(os.environ.get("LEASE_SECONDS", "15"))
        handlers = {"count-words": count_words}
        await hub.work.serve(handlers, worker="python", lease_seconds=lease, stop=stop)


asyncio.run(main())
