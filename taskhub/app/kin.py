"""The child processes of this one: how they are made, what they are told, how they are buried."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from taskhub.actors.reaper import tell
from taskhub.app.process import new_owner
from taskhub.config.environment import foreign
from taskhub.config.runtime import socket_path
from taskhub.config.snapshot import encode
from taskhub.config.units import UnitEntry, actors
from taskhub.kernel.call import Refused, Unreachable, call
from taskhub.kernel.process import ProcessSpec, child_process
from taskhub.messages import PASSING, Put
from taskhub.model import Owner
from taskhub.ports import Swept, Takeover
from taskhub.work.neighbours import forget, started

if TYPE_CHECKING:
    from pathlib import Path

    from taskhub.app.process import Process
    from taskhub.config.sections import Config
    from taskhub.kernel.actor import ChildSpec
    from taskhub.kernel.spawn import Birth


BEYOND_GRACE = 3.0
"""Seconds that a child may take for its stop beyond the grace time of its handlers."""
READERS = {"jwt": "api", "outbound": "pool"}
"""Who alone needs the secrets of a section."""
TRIES = 20
"""How often the takeover from a dead child is tried, with growing pauses in seconds between."""
PAUSE_FIRST, PAUSE_LAST = 0.02, 0.5


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that a child process is told at its birth; it holds secrets."""

    config: bytes
    unit: str
    name: str
    owner: str
    runtime: str
    socket: str
    parent: str
    folder: str
    """Where the user's own modules are looked for."""
    listener: int = -1

    def __repr__(self) -> str:
        return f"Snapshot({self.name})"


class Kin:
    """The children of one process, by their names."""

    def __init__(self, process: Process, folder: Path) -> None:
        """Nothing runs yet: `specs` are for the supervisor."""
        self._process, self._folder = process, folder
        self.sockets: dict[str, Path] = {}

    def specs(self, entry: UnitEntry) -> list[ChildSpec]:
        """The child specs of `unit:worker*2`."""
        return [self._spec(entry.name, name) for name in entry.instances]

    def _spec(self, unit: str, name: str) -> ChildSpec:
        process = self._process
        path = self.sockets[name] = socket_path(process.runtime, name)
        spec = ProcessSpec(
            name=name,
            argv=command_line,
            env=foreign(os.environ),
            mint=lambda: new_owner(name),
            socket=path,
            snapshot=lambda birth: self._snapshot(unit, name, birth),
            pass_fds=self._descriptors(unit),
            lease=lambda: process.live.config.work.lease,
            stop_timeout=BEYOND_GRACE,
            grace=lambda: process.live.config.supervisor.grace,
        )
        child = child_process(spec, on_death=self._on_death)
        return dataclasses.replace(child, group=unit)  # four workers drain in the time of one

    def _descriptors(self, unit: str) -> tuple[int, ...]:
        listener = self._process.listener
        return (listener.fileno(),) if listener is not None and self._serves(unit) else ()

    def _serves(self, unit: str) -> bool:
        return "api" in actors(self._process.live.config.units, unit)

    def _snapshot(self, unit: str, name: str, birth: Birth) -> bytes:
        process, fds = self._process, self._descriptors(unit)
        told = Snapshot(
            config=self.config_for(unit, process.live.config),
            unit=unit,
            name=name,
            owner=birth.incarnation,
            runtime=str(process.runtime),
            socket=str(birth.socket),
            parent=str(process.keeper.path),
            folder=str(self._folder),
            listener=fds[0] if fds else -1,
        )
        return msgspec.msgpack.encode(told)

    def config_for(self, unit: str, config: Config) -> bytes:
        """The configuration as this unit may see it: its secrets are for those who use them."""
        here = actors(self._process.live.config.units, unit)
        hidden = [section for section, actor in READERS.items() if actor not in here]
        return encode(config, hidden)

    async def _on_death(self, incarnation: str, _pid: int, _status: int) -> None:
        """It is reaped, so it cannot act: whatever it held is free before its successor starts.

        Where that cannot be stored, or no store runs here, the sweep of any worker on this host
        finds the dead one's lock free and does the same.
        """
        process, owner = self._process, Owner(incarnation)
        if "store" not in process.entries:
            return
        write, pause = Takeover(owner=owner, started=started(process.runtime, owner)), PAUSE_FIRST
        for _ in range(TRIES):
            with suppress(*PASSING):
                swept = (await Put(write).sent_to(process.boxes.store))[0]
                if isinstance(swept, Swept):
                    tell(process.emit, swept, owner)
                    forget(process.runtime, owner)
                return
            await asyncio.sleep(pause)
            pause = min(PAUSE_LAST, 2 * pause)

    async def ask(self, verb: str, within: float = 2.0, **args: Any) -> dict[str, dict[str, Any]]:
        """The answers of all children that give one, by name; they are asked at the same time."""
        asked = [call(path, verb, within, **args) for path in self.sockets.values()]
        answers: dict[str, dict[str, Any]] = {}
        for name, answer in zip(
            self.sockets, await asyncio.gather(*asked, return_exceptions=True), strict=True
        ):
            if isinstance(answer, dict):
                answers[name] = answer
            elif not isinstance(answer, Unreachable | Refused):
                raise answer
        return answers


def command_line(birth: Birth) -> tuple[str, ...]:
    """How a child is started; everything else it reads from its lifeline."""
    return sys.executable, "-P", "-m", "taskhub", "_child", str(birth.lifeline)
