"""The processor's own side: a process that runs handlers on orders of its parent."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from taskhub.config.snapshot import decode
from taskhub.errors import ConfigError
from taskhub.kernel.lifeline import Orphaned, attach
from taskhub.model import TaskId
from taskhub.obs.telemetry import HandlerRaised, HandlerSaid, Telemetry
from taskhub.ports import Progress
from taskhub.work.attempt import Attempt
from taskhub.work.executor import Runner
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.handlers import outbound_handlers
from taskhub.work.registry import Registry, discover
from taskhub.work.threads import Threads
from taskhub.work.wire import Begun, Halt, Line, Order, Over, Ready, Reported, Setup, Told, lease_of

EXIT_HANDLERS = 78
"""The exit code when the handlers cannot be imported (EX_CONFIG of sysexits.h)."""


class Processor:
    """Runs what it is ordered to, several at a time, until the other end hangs up."""

    def __init__(self, registry: Registry, setup: Setup, result_limit: int) -> None:
        self._threads = Threads(setup.threads)
        self._runner = Runner(
            registry,
            self._threads,
            self._tell,
            on_progress=self._report,
            result_limit=lambda: result_limit,
            grace=setup.grace,
        )
        self._attempts: dict[TaskId, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._line = Line(msgspec.msgpack.Decoder(Order), self._obey, self._ended.set)

    async def live(self, end: socket.socket) -> None:
        """Obey what comes through this end of the line, until it is cut."""
        await Line.over(end, self._line)
        self._line.send(Ready())
        await self._ended.wait()
        for task in self._tasks:
            task.cancel()

    def _obey(self, order: Order) -> None:
        if isinstance(order, Halt):
            if (attempt := self._attempts.get(order.id)) is not None:
                self._runner.stop(attempt, order.reason)
            return
        attempt = Attempt(lease_of(order))
        self._attempts[attempt.id] = attempt
        task = asyncio.create_task(self._run(attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, attempt: Attempt) -> None:
        self._line.send(Begun(attempt.id))
        ended = await self._runner.run(attempt)
        del self._attempts[attempt.id]
        self._line.send(Over(attempt.id, ended))

    def _tell(self, event: Telemetry) -> None:
        if isinstance(event, HandlerSaid):
            self._line.send(Told(said=event))
        elif isinstance(event, HandlerRaised):
            self._line.send(Told(raised=event))

    def _report(self, reports: Sequence[Progress]) -> None:
        self._line.send(Reported(tuple(reports)))


def main(argv: Sequence[str]) -> int:
    """Live as the processor of the parent that holds the other end of lifeline `argv[0]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides about our end
    try:
        setup = msgspec.msgpack.decode(attach(int(argv[0])), type=Setup)
    except Orphaned:
        return 0
    try:
        config = decode(setup.settings)
        calls = Calls(lambda: config, _say_nothing)
        folder = Path(setup.folder) if setup.folder else None
        registry = discover(setup.handlers, folder=folder, also=outbound_handlers(calls))
    except ConfigError as error:
        print(error.detail, file=sys.stderr)  # noqa: T201 - its parent's log
        return EXIT_HANDLERS
    with socket.socket(fileno=setup.work) as end:
        end.set_inheritable(False)
        end.setblocking(False)
        processor = partial(Processor, registry, setup, config.work.max_result)
        asyncio.run(_live(processor, calls, end))
    return 0


async def _live(make: Callable[[], Processor], calls: Calls, end: socket.socket) -> None:
    try:
        await make().live(end)
    finally:
        await calls.close()


def _say_nothing(_: Telemetry) -> None:
    """Of a process of suspects, what becomes of its tasks is told by its parent."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
