"""Runs one actor as this whole process: signals, readiness, watchdog, exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from taskhub.kernel.actor import Context, Hopeless
from taskhub.kernel.events import (
    ActorGaveUp,
    Emit,
    HookFailed,
    SignalReceived,
    StacksDumped,
    ignore,
)
from taskhub.kernel.notify import Notifier
from taskhub.kernel.pulse import Pulse
from taskhub.kernel.stacks import stacks
from taskhub.kernel.supervisor import RestartLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskhub.kernel.actor import Actor
    from taskhub.kernel.keeper import Keeper

EXIT_OK = 0
EXIT_GAVE_UP = 70
"""EX_SOFTWARE of sysexits.h: the restart limit was exceeded, systemd takes over."""


class Host:
    """What makes a process of a main actor; one per process, in its main thread.

    `on_hangup` carries out SIGHUP (None: it drains, as a closed terminal should); it is never
    run twice at once, and signals that come meanwhile are one more run after it. `on_usr1` is
    called at SIGUSR1 (None: the stacks of all tasks and threads are told as an event).
    """

    def __init__(
        self,
        name: str = "",
        emit: Emit = ignore,
        *,
        on_hangup: Callable[[], Awaitable[None]] | None = None,
        on_usr1: Callable[[], None] | None = None,
    ) -> None:
        """`name` is the first part of every actor's full name: the unit's."""
        self.name, self.emit = name, emit
        self.pulse, self.notifier = Pulse(), Notifier()
        self.status = ""
        """One line for `systemctl status`, told with every READY."""
        self._doubt = self._figures = ""
        self.announce: Callable[[], None] = lambda: None
        """Called when the main actor is ready, before anybody who waits for `is_ready` goes on."""
        self.retire: Callable[[], None] = lambda: None
        """Called when an end has been asked for, before the main actor hears of it."""
        self._on_hangup, self._on_usr1 = on_hangup, on_usr1
        self._ctx = Context(name, emit, self._on_ready)
        self._code = EXIT_OK
        self._stops = 0
        self._main: asyncio.Task[None] | None = None
        self._hangups = asyncio.Event()

    @property
    def is_ready(self) -> asyncio.Event:
        """Set when the main actor is ready."""
        return self._ctx.is_ready

    def figure(self, text: str) -> None:
        """Say in `systemctl status`, beside what we are, how much there is to do."""
        if text != self._figures:
            self._figures = text
            self.notifier.status(self._line())

    def doubt(self, text: str) -> None:
        """Say in `systemctl status`, beside what we are, what is not as asked; "": all is again."""
        if text != self._doubt:
            self._doubt = text
            self.notifier.status(self._line())

    def drain(self, code: int = EXIT_OK) -> None:
        """Ask the main actor to finish; the process then exits with `code`."""
        if self._ctx.stopping.is_set():
            return
        self._code = code
        self.pulse.is_draining = True
        self.notifier.stopping()
        self.retire()
        self._ctx.stopping.set()

    def stop_now(self) -> None:
        """End the main actor without waiting for it to drain."""
        self.drain()
        if self._main is not None:
            self._main.cancel()

    async def run(self, main: Actor, keeper: Keeper | None = None) -> int:
        """Run the main actor to its end; return the exit code of the process."""
        loop = asyncio.get_running_loop()
        self.pulse.start(loop)
        chores = [
            asyncio.create_task(self._hangup_in_turn(), name="host hangup"),
            asyncio.create_task(self._feed_watchdog(), name="host watchdog"),
        ]
        self._install_signals(loop)
        try:
            if keeper is not None:
                keeper.verbs.setdefault("drain", self._drain_verb)
                keeper.start(loop)
            return await self._live(main)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            self._remove_signals(loop)
            if keeper is not None:
                keeper.close()
            self.pulse.stop()

    async def _live(self, main: Actor) -> int:
        task = self._main = asyncio.create_task(main.run(self._ctx), name=self.name or "main")
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:  # we are cancelled ourselves: leave nothing behind
            task.cancel()
            await asyncio.wait({task})
            raise
        return self._verdict(task)

    def _verdict(self, task: asyncio.Task[None]) -> int:
        if task.cancelled():
            return self._code if self._ctx.stopping.is_set() else EXIT_GAVE_UP
        error = task.exception()
        if error is None:
            return self._code
        if not isinstance(error, RestartLimitExceeded):  # else the supervisor has told
            self.emit(ActorGaveUp(self.name, error))
        return error.__cause__.code if isinstance(error.__cause__, Hopeless) else EXIT_GAVE_UP

    def _on_ready(self) -> None:
        self.pulse.is_ready = True
        self.notifier.ready(self._line())
        self.announce()

    def _line(self) -> str:
        return "; ".join(text for text in (self.status, self._figures, self._doubt) if text)

    def _install_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._hangup_signal)
        loop.add_signal_handler(signal.SIGUSR1, self._usr1_signal, loop)

    def _remove_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            loop.remove_signal_handler(number)

    def _stop_signal(self, number: signal.Signals) -> None:
        """The first one drains; from the second on there is no time left."""
        self._stops += 1
        is_first = self._stops == 1
        self.emit(SignalReceived(self.name, number.name, "drain" if is_first else "stop now"))
        if is_first:
            self.drain()
        else:
            self.stop_now()

    def _hangup_signal(self) -> None:
        if self._on_hangup is None:
            self._stop_signal(signal.SIGHUP)
            return
        self.emit(SignalReceived(self.name, "SIGHUP", "reload"))
        self._hangups.set()

    def _usr1_signal(self, loop: asyncio.AbstractEventLoop) -> None:
        self.emit(SignalReceived(self.name, "SIGUSR1", "dump"))
        if self._on_usr1 is not None:
            self._on_usr1()
        else:
            self.emit(StacksDumped(self.name, stacks(loop)))

    async def _hangup_in_turn(self) -> None:
        while self._on_hangup is not None:
            await self._hangups.wait()
            self._hangups.clear()
            self.notifier.reloading()
            try:
                await self._on_hangup()
            except Exception as error:  # noqa: BLE001 - a failed reload changes nothing
                self.emit(HookFailed(self.name, "on_hangup", error))
            if not self._ctx.stopping.is_set():
                self.notifier.ready(self._line())

    async def _drain_verb(self, _: dict[str, Any]) -> dict[str, Any]:
        self.drain()
        return {"draining": True}

    async def _feed_watchdog(self) -> None:
        """Twice in the time that systemd allows; a blocked loop feeds nothing."""
        while (every := self.notifier.watchdog) is not None:
            self.notifier.alive()
            await asyncio.sleep(every / 2)


async def run_process(main: Actor, host: Host, keeper: Keeper | None = None) -> int:
    """Run a child process's main actor; returns the exit code."""
    return await host.run(main, keeper)


async def run_root(main: Actor, host: Host, keeper: Keeper | None = None) -> int:
    """The same for a process that systemd (or a shell) has started: it talks to systemd."""
    if host.notifier.address is None:  # else it has talked already
        host.notifier = Notifier.from_environment(os.environ)
    return await host.run(main, keeper)
