"""The worker's end of one processor: a child process that runs handlers and may be killed."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from taskhub.attempts import StopReason
from taskhub.config.sections import Config
from taskhub.config.snapshot import encode
from taskhub.kernel.process import ProcessSpec
from taskhub.kernel.spawn import Spawned, spawn
from taskhub.obs.telemetry import Emit, ProcessChanged
from taskhub.work.attempt import Attempt
from taskhub.work.executor import GRACE
from taskhub.work.tickets import Tickets
from taskhub.work.wire import Answer, Halt, Line, Ready, Run, Setup, run_order

MODULE = "taskhub.work.processor_child"
NAME = "processor"

LAST_MESSAGES = 0.5
"""Seconds after its death in which what it had still said is read; usually none is needed."""

LEAVES_WITHIN = 2.0
"""Seconds that an idle processor has to end in when we hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorSpec:
    """How to make a processor; times in seconds.

    `env` is all of its environment: no secret belongs there. One that is not ready after
    `start_within` is killed; one that is idle for `idle` is stopped.
    """

    env: Mapping[str, str]
    handlers: tuple[str, ...] = ()
    folder: Path | None = None
    settings: Callable[[], bytes] = lambda: encode(Config())
    """What of the configuration its handlers may see, when it is started."""
    grace: float = GRACE
    unit: str = "worker"
    says_goodbye: bool = False
    """Whether an idle one ends by itself when its worker does: it may have spans to send."""
    start_within: float = 30.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of a processor: of its answers, and once of its end (how it ended)."""

    on_answer: Callable[[Processor, Answer], None]
    on_gone: Callable[[Processor, str], None]


class Processor:
    """One process and the line to it. It runs one attempt after the other; what is sent ahead waits
    there until its turn, or until it is taken back.
    """

    def __init__(
        self, spawned: Spawned, tickets: Tickets, listeners: Listeners, emit: Emit
    ) -> None:
        self.pid, self.is_ready = spawned.pid, False
        self.inflight: dict[int, Attempt] = {}
        """By the number of their order; the first of them is the one that runs."""
        self.is_dying = False
        """Whether it is killed, dead or cut off: it must be sent nothing more."""
        self.culprit: Attempt | None = None
        """For whose sake we killed it."""
        self._spawned, self._listeners, self._emit = spawned, listeners, emit
        self._tickets, self._number = tickets, 0
        self._unsent: list[Run] = []
        self._line = Line(msgspec.msgpack.Decoder(Answer), self._hear, self._on_line_end)
        self._status: int | None = None
        self._has_line, self._is_killed, self._is_gone = True, False, False
        spawned.exited.add_done_callback(self._on_exit)
        self._say("spawned")

    @classmethod
    async def start(cls, spec: ProcessorSpec, listeners: Listeners, emit: Emit) -> Self:
        """Start one, from the main thread; it gets ready by itself. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            tickets = Tickets.create()
            undo.callback(tickets.close)
            setup = msgspec.msgpack.encode(
                Setup(
                    work=theirs.fileno(),
                    tickets=tickets.reading,
                    handlers=spec.handlers,
                    folder=None if spec.folder is None else str(spec.folder),
                    settings=spec.settings(),
                    grace=spec.grace,
                    unit=spec.unit,
                )
            )
            spawned = spawn(_process_spec(spec, setup, theirs.fileno(), tickets.reading))
            undo.pop_all()
        processor = cls(spawned, tickets, listeners, emit)
        try:
            await Line.over(ours, processor._line)
            await spawned.feed(setup)
        except BaseException:
            processor.kill("its start was cut short")  # nobody else knows of it
            raise
        asyncio.get_running_loop().call_later(spec.start_within, processor._check_ready)
        return processor

    @property
    def head(self) -> Attempt | None:
        """The attempt that runs, or is about to."""
        return next(iter(self.inflight.values()), None)

    def order(self, attempt: Attempt) -> int:
        """Have it run, behind what was ordered before; returns the order's number.

        What is ordered in one turn of the loop goes as one write. An order that it does not live
        to read is answered by its end.
        """
        self._number += 1
        order = run_order(self._number, attempt.lease)
        self.inflight[self._number] = attempt
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(order)
        return self._number

    def take_back(self) -> list[Attempt]:
        """What has not begun and never will there, the last one first; it runs on without them."""
        self._send()
        numbers = self._tickets.take_all()
        return [self.inflight.pop(number) for number in reversed(numbers)]

    def halt(self, number: int, reason: StopReason) -> None:
        """Stop the one that runs."""
        self._line.send(Halt(number, reason))

    def kill(self, reason: str, culprit: Attempt | None = None) -> None:
        """End it now, and all that it has started; `on_gone` follows. Once is enough."""
        if self._status is None and not self._is_killed:
            self._is_killed = self.is_dying = True
            self.culprit = culprit
            self._say("killed", reason)
            self._spawned.kill()

    def hang_up(self) -> None:
        """Let it end by itself, soon."""
        self.is_dying = True
        self._line.close()
        asyncio.get_running_loop().call_later(LEAVES_WITHIN, self.kill, "did not end when idle")

    async def dead(self) -> None:
        """Wait until the process is no more."""
        await asyncio.wait([self._spawned.exited])

    def _send(self) -> None:
        """Tickets go first: a task that the processor finds without one has been taken back."""
        if self._unsent:
            orders, self._unsent = self._unsent, []
            self._tickets.put([order.number for order in orders])
            self._line.send(*orders)

    def _hear(self, answer: Answer) -> None:
        if isinstance(answer, Ready):
            self.is_ready = True
            self._say("ready")
        self._listeners.on_answer(self, answer)

    def _check_ready(self) -> None:
        if not self.is_ready:
            self.kill("did not get ready in time")

    def _on_exit(self, _: asyncio.Future[None]) -> None:
        self.is_dying, self._status = True, self._spawned.reap()
        self._say("exited", self._how())
        if self._has_line:
            asyncio.get_running_loop().call_later(LAST_MESSAGES, self._go)
        else:
            self._go()

    def _on_line_end(self) -> None:
        self.is_dying, self._has_line = True, False
        if self._status is not None:
            self._go()
        elif self.inflight:
            self.kill("its line was cut")

    def _go(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._line.close()
            self._listeners.on_gone(self, self._how())
            self._tickets.close()

    def _how(self) -> str:
        status = self._status or 0
        return f"signal {-status}" if status < 0 else f"exit code {status}"

    def _say(self, what: str, detail: str = "") -> None:
        self._emit(ProcessChanged(actor=NAME, pid=self.pid, what=what, detail=detail))


def _process_spec(spec: ProcessorSpec, setup: bytes, *passed: int) -> ProcessSpec:
    return ProcessSpec(
        name=NAME,
        argv=lambda birth: (sys.executable, "-P", "-m", MODULE, str(birth.lifeline)),
        env=spec.env,
        mint=lambda: NAME,
        snapshot=lambda _: setup,
        pass_fds=passed,
        own_session=False,
    )
