"""SIGHUP: the new configuration is read whole, prepared everywhere, then applied; or refused."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from taskhub.config.diff import Change, How, changes
from taskhub.config.keys import FREE
from taskhub.config.load import check_unit
from taskhub.config.snapshot import decode
from taskhub.errors import ConfigError, ConfigProblem, TaskHubError
from taskhub.kernel.actor import RestartLimit
from taskhub.kernel.call import Refused, Unreachable, call
from taskhub.kernel.supervisor import NoSuchActor
from taskhub.obs.telemetry import Complained, Reloaded, ReloadRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.app.kin import Kin
    from taskhub.app.process import Process
    from taskhub.config.load import Loaded
    from taskhub.config.sections import Config

Applied = dict[str, Any]

WITHIN = 5.0
"""Seconds that a child has to answer."""


class Proposal(NamedTuple):
    """What can be put in force: every process has tried it."""

    found: Sequence[Change]
    in_force: Config
    accepted: Config
    number: int


class Objected(Exception):
    """Some process cannot work with the new configuration, or it is wrong in itself."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Reload:
    """The root's side: all or nothing, and what was accepted is what later children get."""

    def __init__(self, process: Process, kin: Kin, loaded: Loaded, unit: str) -> None:
        self._process, self._kin, self._loaded, self._unit = process, kin, loaded, unit
        self._in_force, self._configured = loaded.config, loaded.config.log_levels
        """As it was loaded, with what was applied since; a key that waits for a restart is not."""
        self._one_at_a_time, self._numbers = asyncio.Lock(), count(1)

    async def hangup(self) -> None:
        """Carry out a SIGHUP; what is wrong is in the log, and nothing has changed."""
        await self.run()

    async def verb(self, _: dict[str, Any]) -> Applied:
        """The same, asked for over the supervision socket."""
        return await self.run()

    async def check_verb(self, args: dict[str, Any]) -> Applied:
        """What a reload would do, for `taskhub reload --dry-run`; it changes nothing.

        Every process is asked whether it could, so that the answer is the one of a reload. With
        `tell` a refusal is told in the log: a reload was wanted, and ends with this.
        """
        async with self._one_at_a_time:
            try:
                proposal = await self._propose(keep=False)
            except Objected as objected:
                problems = objected.problems
                return self._refuse(problems) if args.get("tell") else answer(problems)
        return answer([], proposal.found)

    async def run(self) -> Applied:
        """Read, compare, prepare, apply; returns what `taskhub reload` prints."""
        async with self._one_at_a_time:
            self._process.log.sink.reopen()  # whatever is wrong with the rest
            try:
                proposal = await self._propose(keep=True)
            except Objected as objected:
                return self._refuse(objected.problems)
            self._in_force = proposal.in_force
            self._configured = proposal.in_force.log_levels
            apply(self._process, proposal.accepted)
            await self._apply(proposal.number)
            return self._tell(proposal.found)

    async def relevel(self, name: str, level: str) -> dict[str, Any]:
        """Put the level of one actor in force here; the next reload finds it changed.

        "": as it is configured. Returns the levels of all that have one.
        """
        async with self._one_at_a_time:
            levels: dict[str, Any] = dict(self._process.live.config.log_levels)
            levels.pop(name, None)
            if wanted := level or self._configured.get(name):
                levels[name] = wanted
            self._in_force = msgspec.structs.replace(self._in_force, log_levels=levels)
            level_as(self._process, levels)
            return levels

    async def _propose(self, *, keep: bool) -> Proposal:
        """Read it anew and have every process try it; raises Objected."""
        try:
            loaded = self._loaded.again(os.environ)
            check_unit(loaded, self._unit)
        except ConfigError as error:
            raise Objected([problem.detail for problem in error.problems]) from None
        found = changes(self._in_force, loaded.config)
        accepted = merged(self._process.live.config, loaded.config, found)
        number = next(self._numbers)
        await self._prepare(accepted, number, keep=keep)
        return Proposal(found, merged(self._in_force, loaded.config, found), accepted, number)

    async def _prepare(self, accepted: Config, number: int, *, keep: bool) -> None:
        """Raises Objected; children that cannot be asked are seen to by `_apply`."""
        try:
            check_here(self._process, accepted)
        except TaskHubError as error:
            raise Objected([error.detail]) from None
        tries = [self._ask(name, accepted, number, keep) for name in self._kin.sockets]
        if problems := [problem for problem in await asyncio.gather(*tries) if problem]:
            raise Objected(problems)

    async def _ask(self, name: str, accepted: Config, number: int, keep: bool) -> str:  # noqa: FBT001 - one call
        """What one child objects to; "" when it can, or does not answer."""
        data = self._kin.config_for(name.rpartition("-")[0], accepted).hex()
        try:
            path = self._kin.sockets[name]
            await call(path, "reload-prepare", WITHIN, config=data, number=number, keep=keep)
        except Refused as refusal:
            return f"{name}: {refusal.detail}"
        except Unreachable:
            pass
        return ""

    async def _apply(self, number: int) -> None:
        """Whoever cannot confirm it (dead, just being born, stuck) is born anew with it."""
        answers = await self._kin.ask("reload-apply", WITHIN, number=number)
        for name in self._kin.sockets:
            if not answers.get(name, {}).get("applied") and self._process.supervisor is not None:
                text = f"{name} did not take the new configuration: it is started anew"
                self._process.emit(Complained(text=text))
                with suppress(NoSuchActor):
                    self._process.supervisor.ask_restart(name)

    def _refuse(self, problems: Sequence[str]) -> Applied:
        self._process.emit(ReloadRefused(problems=tuple(problems)))
        self._process.host.doubt(f"a reload was refused, nothing has changed: {problems[0]}")
        return {"applied": False, "problems": list(problems), "changes": [], "needsRestart": []}

    def _tell(self, found: Sequence[Change]) -> Applied:
        done = tuple(str(change) for change in found if change.how is How.IN_PLACE)
        later = tuple(change.key for change in found if change.how is How.RESTART_NEEDED)
        self._process.emit(Reloaded(changes=done, needs_restart=later))
        self._process.host.doubt(f"waits for a restart: {', '.join(later)}" if later else "")
        return {
            "applied": True,
            "problems": [],
            "changes": list(done),
            "needsRestart": list(later),
        }


class Follow:
    """A child's side: keep what was prepared until it is applied."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._prepared: tuple[int, Config] | None = None

    async def prepare(self, args: dict[str, Any]) -> Applied:
        """Raises when the configuration cannot be used here."""
        config = decode(bytes.fromhex(args["config"]))
        check_here(self._process, config)
        if args["keep"]:
            self._prepared = args["number"], config
        return {"prepared": True}

    async def prepare_verb(self, args: dict[str, Any]) -> Applied:
        """The same for whoever asks over the socket: an operator reads why, and no class name."""
        try:
            return await self.prepare(args)
        except TaskHubError as error:
            raise Refused(error.code, error.detail) from None

    async def level_verb(self, args: dict[str, Any]) -> Applied:
        """The levels of actors, as an operator has asked for them."""
        level_as(self._process, args["levels"])
        return {"applied": True}

    async def apply(self, args: dict[str, Any]) -> Applied:
        """Put in force what was prepared under this number; another was refused elsewhere."""
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared[0] != args["number"]:
            return {"applied": False}
        apply(self._process, prepared[1])
        return {"applied": True}


def merged(old: Config, new: Config, found: Sequence[Change]) -> Config:
    """The old configuration with those changes of the new one that can be made in place."""
    taken: dict[str, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for change in found:
        section, key, *_ = change.key.split(".")  # of a table of tables changes the whole
        if change.how is not How.IN_PLACE:
            continue
        if section in FREE:
            whole[section] = getattr(new, section)
        else:
            taken.setdefault(section, {})[key] = getattr(getattr(new, section), key)
    sections = {
        section: msgspec.structs.replace(getattr(old, section), **values)
        for section, values in taken.items()
    }
    return msgspec.structs.replace(old, **whole, **sections)


def check_here(process: Process, config: Config) -> None:
    """What only this process can tell: whether its parts can be made of the new configuration."""
    if why := process.log.refusal(config.logs):
        wanted = f"expected a folder that can be written: {why}"
        raise ConfigError([ConfigProblem("logs.directory", wanted)])
    for check in process.checks:
        check(config)


def apply(process: Process, config: Config) -> None:
    """Put a configuration in force in this process."""
    process.live.config = config
    process.log.follow(config.logs, config.log_levels)
    for box in process.boxes.all():
        box.limit = config.limits.mailbox
    if process.supervisor is not None:
        process.supervisor.limit = restart_limit(config)
    for follow in process.follows:
        follow(config)


def level_as(process: Process, levels: dict[str, Any]) -> None:
    """Put other levels of actors in force in this process."""
    config = msgspec.structs.replace(process.live.config, log_levels=levels)
    process.live.config = config
    process.log.listener.set_level(config.logs.level, levels)


def answer(problems: Sequence[str], found: Sequence[Change] = ()) -> Applied:
    """What `taskhub reload` reads; nothing of it has been applied."""
    return {
        "applied": False,
        "problems": list(problems),
        "changes": [str(change) for change in found if change.how is How.IN_PLACE],
        "needsRestart": [change.key for change in found if change.how is How.RESTART_NEEDED],
    }


def restart_limit(config: Config) -> RestartLimit:
    """The restart intensity of `[supervisor]`."""
    return RestartLimit(intensity=config.supervisor.intensity, period=config.supervisor.period)
