"""A process put together as the program does it, and children that answer as theirs would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from taskhub.app.kin import Kin
from taskhub.app.process import Live, Process, assemble
from taskhub.config.load import Loaded, load
from taskhub.config.sections import Config
from taskhub.config.units import UnitEntry
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.pulse import Pulse
from taskhub.obs.start import open_log
from taskhub.obs.telemetry import Telemetry

T = TypeVar("T", bound=Telemetry)
KEY = "a key of a test, which is longer than 32 bytes"
FILE = f"""
[jwt]
authority = "https://issuer.test"
audience = "taskhub"
issuer_signing_key = "{KEY}"
[store]
url = "sqlite:///tasks.db"
[events]
url = "unix:///tmp/taskhub-test-nobody.sock"
[redis]
password = "a password"
"""


class Household:
    """A configuration file, the process that was made of it, and what it told."""

    def __init__(self, folder: Path, process: Process, loaded: Loaded) -> None:
        self.folder, self.process, self.loaded = folder, process, loaded
        self.told: list[Telemetry] = []
        process.emit = self.told.append
        self.kin = Kin(process, folder)

    def write(self, settings: str) -> None:
        """The file as an administrator leaves it: what is always there, and `settings`."""
        (self.folder / "supervisor.toml").write_text(FILE + settings, encoding="utf-8")

    def said(self, kind: type[T]) -> list[T]:
        """What was told of one kind."""
        return [event for event in self.told if type(event) is kind]

    @asynccontextmanager
    async def child(self, name: str, **verbs: Callable[..., Awaitable[Any]]) -> AsyncIterator[None]:
        """A child of that name whose supervision socket answers these verbs."""
        self.kin.specs(UnitEntry(name.rpartition("-")[0], 1))
        table = {verb.replace("_", "-"): answer for verb, answer in verbs.items()}
        keeper = Keeper(self.kin.sockets[name], Pulse(), name=name, verbs=table)
        keeper.path.parent.mkdir(parents=True, exist_ok=True)
        keeper.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            keeper.close()


@contextmanager
def household(folder: Path, settings: str = "") -> Iterator[Household]:
    """The process `tree` of a configuration in a folder of its own."""
    path = folder / "supervisor.toml"
    path.touch(mode=0o600)
    path.write_text(FILE + settings, encoding="utf-8")
    loaded = load(path, {})
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    with open_log(loaded.config.logs, "tree") as log:
        process = assemble("tree", Live(loaded.config), log, (runtime, runtime / "tree.sock"))
        process.entries = ("store", UnitEntry("worker"), UnitEntry("api"))
        with process.stack:
            yield Household(folder, process, loaded)


def replaced(config: Config, **keys: Any) -> Config:
    """A configuration with other values, given as `section__key`."""
    import msgspec

    for path, value in keys.items():
        section, _, key = path.partition("__")
        changed = msgspec.structs.replace(getattr(config, section), **{key: value})
        config = msgspec.structs.replace(config, **{section: changed})
    return config


def plain(value: object) -> str:
    """Anything as text, to look for what must not be in it."""
    return json.dumps(value, default=repr)
