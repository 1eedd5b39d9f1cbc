"""The processor's own side: a process that runs handlers on orders of its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taskhub.attempts import Stubborn
from taskhub.config.sections import NO_TRACING, Config
from taskhub.config.snapshot import decode
from taskhub.errors import ConfigError
from taskhub.kernel.lifeline import Orphaned, attach
from taskhub.obs.telemetry import HandlerRaised, HandlerSaid, Telemetry
from taskhub.ports import Progress
from taskhub.work.attempt import Attempt
from taskhub.work.executor import Runner
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.handlers import outbound_handlers
from taskhub.work.registry import Registry, discover
from taskhub.work.threads import Threads
from taskhub.work.tickets import Tickets
from taskhub.work.wire import Halt, Line, Order, Over, Ready, Reported, Run, Setup, Told, lease_of

if TYPE_CHECKING:
    from taskhub.model import Lease
    from taskhub.obs.tracing import Tracing

EXIT_HANDLERS = 78
"""The exit code when the handlers cannot be imported (EX_CONFIG of sysexits.h)."""


class Processor:
    """Runs what it is ordered to, one after the other, until the other end hangs up.

    What is in line may be taken back at any time; a task is ours once we have its ticket.
    """

    def __init__(
        self, registry: Registry, setup: Setup, result_limit: int, tracing: Tracing | None = None
    ) -> None:
        self._threads = Threads(1)
        self._runner = Runner(
            registry,
            self._threads,
            self._tell,
            on_progress=self._report,
            result_limit=lambda: result_limit,
            grace=setup.grace,
        )
        self._within = _untraced if tracing is None else tracing.within
        self._tickets = Tickets(setup.tickets)
        self._ticket: int | None = None
        """Taken for an order that has yet to come."""
        self._orders: deque[Run] = deque()
        self._number = 0
        self._attempt: Attempt | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._line = Line(msgspec.msgpack.Decoder(Order), self._obey, self._ended.set)

    async def live(self, end: socket.socket) -> None:
        """Obey what comes through this end of the line, until it is cut."""
        await Line.over(end, self._line)
        self._line.send(Ready())
        await self._ended.wait()
        if self._task is not None:
            self._task.cancel()

    def _obey(self, order: Order) -> None:
        if isinstance(order, Halt):
            if self._attempt is not None and order.number == self._number:
                self._runner.stop(self._attempt, order.reason)
            return
        self._orders.append(order)
        if self._task is None:
            self._begin_next()

    def _begin_next(self) -> None:
        """Begin the first in line that was not taken back."""
        while self._orders:
            if self._ticket is None and (ticket := self._tickets.take()) is not None:
                self._ticket = ticket
            if self._ticket is None:
                self._orders.clear()
            elif (order := self._orders.popleft()).number == self._ticket:
                self._ticket, self._number = None, order.number
                self._task = asyncio.create_task(self._run(order))
                self._task.add_done_callback(self._on_done)
                return

    async def _run(self, order: Run) -> None:
        self._attempt = Attempt(lease_of(order))
        with self._within(self._attempt.lease):
            ended = await self._runner.run(self._attempt)
        self._line.send(Over(order.number, ended, self._attempt.seconds))
        self._attempt = None
        if isinstance(ended, Stubborn):  # we are killed for it, and nothing else begins here
            await self._ended.wait()
        await self._line.written()  # what comes next may kill us

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._begin_next()
            return
        trouble = {"message": "an order cannot be carried out", "exception": error}
        asyncio.get_running_loop().call_exception_handler(trouble)
        self._ended.set()  # better no processor than a mad one

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
        tracing = _tracing(config, setup.unit)
        calls = Calls(lambda: config, _say_nothing, tracing=tracing)
        folder = Path(setup.folder) if setup.folder else None
        registry = discover(setup.handlers, folder=folder, also=outbound_handlers(calls))
    except ConfigError as error:
        print(error.detail, file=sys.stderr)  # noqa: T201 - its parent's log
        return EXIT_HANDLERS
    with socket.socket(fileno=setup.work) as end:
        end.set_inheritable(False)
        os.set_inheritable(setup.tickets, False)
        end.setblocking(False)
        processor = partial(Processor, registry, setup, config.work.max_result, tracing)
        asyncio.run(_live(processor, calls, end))
    if tracing is not None:
        tracing.close()
    return 0


def _tracing(config: Config, unit: str) -> Tracing | None:
    """For spans that handlers make themselves; those of their attempts are made by the worker."""
    if config.tracing.exporter == NO_TRACING:
        return None
    from taskhub.obs.tracing import open_tracing  # 10 MB, for those who want it

    return open_tracing(config.tracing, unit)


def _untraced(_: Lease) -> AbstractContextManager[None]:
    return nullcontext()


async def _live(make: Callable[[], Processor], calls: Calls, end: socket.socket) -> None:
    try:
        await make().live(end)
    finally:
        await calls.close()


def _say_nothing(_: Telemetry) -> None:
    """Of a process of suspects, what becomes of its tasks is told by its parent."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
