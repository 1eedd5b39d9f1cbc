"""A child process of the tree: it learns everything from its parent, and dies with it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taskhub.app.backends import import_sparingly
from taskhub.app.dump import dump
from taskhub.app.kin import Snapshot
from taskhub.app.life import live, local_specs, run_loop
from taskhub.app.listening import adopt
from taskhub.app.process import Live, Process, assemble
from taskhub.app.protection import protect
from taskhub.app.reload import Follow
from taskhub.config.snapshot import decode
from taskhub.config.units import entries
from taskhub.errors import ConfigError, TaskHubError
from taskhub.kernel.lifeline import EXIT_ORPHANED, Orphaned, attach, say_ready
from taskhub.kernel.process import EXIT_REFUSED
from taskhub.model import Owner
from taskhub.obs.start import open_log
from taskhub.obs.telemetry import ActorGaveUp

if TYPE_CHECKING:
    from taskhub.obs.start import Log


def main() -> int:
    """Read the snapshot from the lifeline (its descriptor is the last argument), then live."""
    lifeline = int(sys.argv[-1])
    try:
        told = msgspec.msgpack.decode(attach(lifeline), type=Snapshot)
    except Orphaned:  # nobody is left to be told
        return EXIT_ORPHANED
    config = decode(told.config)
    protect(config.units, told.unit)
    import_sparingly(config, told.unit)
    with open_log(config.logs, told.name, levels=config.log_levels) as log:
        try:
            return run_loop(_main(told, Live(config), log, lifeline), log)
        except TaskHubError as error:  # the root only sees that we have ended
            for problem in error.problems if isinstance(error, ConfigError) else [error]:
                log.listener(ActorGaveUp(actor=told.name, error=problem.detail))
            return EXIT_REFUSED


async def _main(told: Snapshot, configuration: Live, log: Log, lifeline: int) -> int:
    place = (Path(told.runtime), Path(told.socket))
    process: Process

    async def ignore_hangup() -> None:
        """A reload comes from the parent, by its supervision socket."""

    process = assemble(
        told.name, configuration, log, place, on_hangup=ignore_hangup, on_usr1=lambda: dump(process)
    )
    process.host.announce = partial(say_ready, lifeline)
    process.owner = Owner(told.owner)
    process.folder, process.parent = Path(told.folder), Path(told.parent)
    process.entries = entries(configuration.config.units, told.unit)
    if told.listener >= 0:
        process.listener = adopt(told.listener)
        process.stack.callback(process.listener.close)
        process.host.retire = process.listener.close
    follow = Follow(process)
    process.keeper.verbs |= {"reload-prepare": follow.prepare_verb, "reload-apply": follow.apply}
    process.keeper.verbs["loglevel-told"] = follow.level_verb
    with process.stack:
        return await live(process, local_specs(process), is_root=False)
