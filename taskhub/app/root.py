"""The process that a shell or systemd starts: it migrates the store, binds the socket, has kin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.app.backends import import_sparingly
from taskhub.app.dump import dump
from taskhub.app.embedded import EMBEDDED, with_server
from taskhub.app.forest import Forest
from taskhub.app.kin import Kin
from taskhub.app.life import live, local_specs, run_loop
from taskhub.app.listening import address, listening_socket
from taskhub.app.loudness import Loudness
from taskhub.app.migration import longer_start, migrate
from taskhub.app.naming import named
from taskhub.app.process import Live, Process, assemble
from taskhub.app.protection import protect
from taskhub.app.reload import Reload
from taskhub.app.standing import standing_told
from taskhub.config.load import check_unit
from taskhub.config.runtime import make_private, runtime_directory, socket_path
from taskhub.config.units import UnitEntry, actors, children, entries
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.kernel.notify import Notifier
from taskhub.obs.start import open_log, refusal
from taskhub.obs.telemetry import Complained, Said

if TYPE_CHECKING:
    from taskhub.config.load import Loaded
    from taskhub.config.sections import Config, LogsSection
    from taskhub.kernel.actor import ChildSpec
    from taskhub.obs.start import Log


def run(loaded: Loaded, unit: str, *, hangup_stops: bool = False) -> int:
    """Run a unit until a signal ends it. With `hangup_stops` a closed terminal ends it too."""
    check_unit(loaded, unit)
    refuse_grandchildren(loaded.config, unit)
    refuse_silence(loaded.config.logs, unit)
    protect(loaded.config.units, unit)
    import_sparingly(loaded.config, unit)
    runtime = make_private(runtime_directory(loaded.config, os.environ))
    with (
        named(runtime, unit) as name,
        open_log(loaded.config.logs, name, levels=loaded.config.log_levels) as log,
    ):
        main = _main(loaded, unit, (runtime, name), log, hangup_stops=hangup_stops)
        return run_loop(main, log)


def refuse_grandchildren(config: Config, unit: str) -> None:
    """A child process starts actors alone: nobody else could say what became of its children."""
    problems = [
        ConfigProblem(f"units.{entry.name}", f"expected no units in a unit that {unit} starts")
        for entry in children(config.units, unit)
        if children(config.units, entry.name)
    ]
    if problems:
        raise ConfigError(problems)


def refuse_silence(section: LogsSection, unit: str) -> None:
    """A log that cannot be written could not even say so; raises ConfigError."""
    if why := refusal(section, unit):
        wanted = f"expected a folder that can be written: {why}"
        raise ConfigError([ConfigProblem("logs.directory", wanted)])


async def _main(
    loaded: Loaded, unit: str, place: tuple[Path, str], log: Log, *, hangup_stops: bool
) -> int:
    runtime, name = place
    reload: Reload
    process: Process
    kin: Kin

    async def on_hangup() -> None:
        await reload.hangup()

    config = with_server(loaded.config, runtime, log.listener)
    process = assemble(
        name,
        Live(config),
        log,
        (runtime, socket_path(runtime, name)),
        on_hangup=None if hangup_stops else on_hangup,
        on_usr1=lambda: dump(process, kin.sockets),
    )
    process.host.notifier = Notifier.from_environment(os.environ)
    process.entries = _entries(loaded.config, unit)
    with process.stack:
        kin = _prepare(process, loaded, unit)
        reload = Reload(process, kin, loaded, unit)
        process.keeper.verbs["reload"] = reload.verb
        process.keeper.verbs["reload-check"] = reload.check_verb
        process.keeper.verbs["loglevel"] = Loudness(process, kin, reload).verb
        await _migrate(process)
        _greet(process, loaded)
        async with standing_told(process):
            return await live(process, _specs(process, kin), is_root=True)


def _entries(config: Config, unit: str) -> list[UnitEntry | str]:
    """What runs here; without `embedded` there is no event server to keep."""
    found = entries(config.units, unit)
    if config.events.url == EMBEDDED:
        return found
    return [entry for entry in found if entry != "events-server"]


def _prepare(process: Process, loaded: Loaded, unit: str) -> Kin:
    config, folder = process.live.config, loaded.folder
    process.folder = folder
    if "api" in actors(config.units, unit):
        process.listener = listening_socket(config.http, os.environ)
        process.stack.callback(process.listener.close)
        process.host.retire = process.listener.close  # or clients would queue for nobody
    kin = Kin(process, folder)
    forest = process.forest = Forest(process, kin)
    process.keeper.verbs |= {"forest": forest.verb, "exposition": forest.exposition_verb}
    process.keeper.verbs["ask-restart-anywhere"] = forest.restart_verb
    return kin


def _specs(process: Process, kin: Kin) -> list[ChildSpec]:
    own = {spec.name: spec for spec in local_specs(process)}
    found: list[ChildSpec] = []
    for entry in process.entries:
        found += kin.specs(entry) if isinstance(entry, UnitEntry) else [own[entry]]
    return found


async def _migrate(process: Process) -> None:
    """Bring the schema up before anything else starts; raises SchemaNewer in one line."""
    if "store" not in process.entries:
        return

    def tell(text: str) -> None:
        process.emit(Complained(text=text))

    async with longer_start(process.host.notifier):
        steps = await migrate(process.live.config, tell)
    for step in steps:
        process.emit(Said(text=f"database: {step}"))


def _greet(process: Process, loaded: Loaded) -> None:
    process.host.status = "ready"
    for warning in loaded.warnings:
        process.emit(Complained(text=warning))
    if process.listener is not None:
        scheme = "https" if loaded.config.http.tls_certificate else "http"
        process.host.status = f"the API is at {address(process.listener, scheme)}"
        process.emit(Said(text=process.host.status))
    process.host.announce = lambda: process.emit(Said(text="everything is ready"))
