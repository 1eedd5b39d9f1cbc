"""Runs the actors of a process from their first breath to their last, root and child alike."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from taskhub.app.readiness import ill_parts, readiness
from taskhub.app.reload import restart_limit
from taskhub.app.restarts import asked_restart
from taskhub.app.specs import spec_of
from taskhub.kernel.host import run_process, run_root
from taskhub.kernel.supervisor import NoSuchActor, Supervisor
from taskhub.obs.levels import WORDS
from taskhub.obs.telemetry import LinesDropped

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from taskhub.app.process import Process
    from taskhub.kernel.actor import ChildSpec
    from taskhub.obs.start import Log

YOUNG = 20_000
"""New containers between two looks for garbage cycles: requests and tasks make none, so 700 (the
default) would look in vain some hundred times a second.
"""
TURN, POOL_TURN = 0.0001, 0.0005
"""Seconds that a busy event loop may keep Python's lock while the writer thread wants it: a commit
takes it a dozen times, so with 5 ms (the default) it would wait until the loop has nothing to do.
Longer where handlers may compute in threads, which pay for each turn.
"""
SAMPLE = 1.0
"""Seconds between two looks at what a scrape shows of the actors."""
LAST_WORDS = 1.0
"""Seconds that user code may still take when everything of ours has ended."""


def run_loop(main: Coroutine[Any, Any, int], log: Log) -> int:
    """Run it on the quick event loop when there is one; its end is the end of this process."""
    with asyncio.Runner(loop_factory=_quick_loop()) as runner:
        return runner.run(_to_the_end(main, log))


async def _to_the_end(main: Coroutine[Any, Any, int], log: Log) -> int:
    """The runner would wait for ever for a handler that ignores its cancellation: we do not."""
    code = await main
    if await _something_is_left():
        log.sink.close()
        os._exit(code)
    return code


async def _something_is_left() -> bool:
    """Whether a task or a thread of `asyncio.to_thread` goes on although it must end."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    threads = loop.create_task(loop.shutdown_default_executor())
    _, left = await asyncio.wait({*tasks, threads}, timeout=LAST_WORDS)
    return bool(left)


def _quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def local_specs(process: Process) -> list[ChildSpec]:
    """The child specs of the actors that run in this process, in the order of start."""
    return [spec_of(process, entry) for entry in process.entries if isinstance(entry, str)]


async def live(process: Process, specs: Sequence[ChildSpec], *, is_root: bool) -> int:
    """Be a process with these actors; returns its exit code."""
    supervisor = Supervisor(specs, restart_limit(process.live.config))
    process.supervisor = supervisor
    process.metrics.watch_actors(supervisor.tree)
    process.keeper.quick["ready"] = lambda _: readiness(process)
    process.keeper.verbs["tree"] = _Tree(process, supervisor).verb
    process.keeper.verbs["restart"] = _Restart(supervisor).verb
    process.keeper.verbs["ask-restart"] = partial(asked_restart, supervisor)
    sampler = _Sampler(partial(_look, process))
    gc.freeze()  # what was imported stays: no look need pass over it again
    gc.set_threshold(YOUNG)
    gc.enable()
    sys.setswitchinterval(POOL_TURN if "pool" in process.entries else TURN)
    await process.bus.open()
    sampler.start()
    try:
        run = run_root if is_root else run_process
        return await run(supervisor, process.host, process.keeper)
    finally:
        sampler.stop()
        await process.bus.close()


def _look(process: Process) -> None:
    """What is looked at each second."""
    process.metrics.sample()
    if lost := process.log.losses():
        process.emit(LinesDropped(count=lost))


class _Tree:
    """The verb `tree`: what every actor of this process does, and which parts are ill."""

    def __init__(self, process: Process, supervisor: Supervisor) -> None:
        self._process, self._supervisor = process, supervisor

    async def verb(self, _: dict[str, Any]) -> dict[str, Any]:
        process, actors = self._process, self._supervisor.tree()
        names = (process.name, *(actor.name for actor in actors))
        levels = {name: WORDS[process.log.listener.levels.least(name)] for name in names}
        return {"actors": actors, "ill": ill_parts(process), "levels": levels}


class _Restart:
    """The verb `restart`: stop and start one actor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def verb(self, args: dict[str, Any]) -> dict[str, Any]:
        try:
            await self._supervisor.restart(str(args.get("name", "")))
        except NoSuchActor:
            return {"restarted": False}
        return {"restarted": True}


class _Sampler:
    """A timer that looks at the actors in the loop's thread, so that a scrape need not."""

    def __init__(self, sample: Callable[[], None]) -> None:
        self._sample = sample
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._sample()
        self._timer = asyncio.get_running_loop().call_later(SAMPLE, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
