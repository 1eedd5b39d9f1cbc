"""Reads the systemd units of this machine that run TaskHub, as files: systemd is not asked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskhub.cli.services.spans import seconds
from taskhub.config.units import ROOT

FOLDERS = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
)
"""Where units stand; one in an earlier folder replaces that of its name in a later one."""
DEFAULT_CONFIG = "/etc/taskhub/supervisor.toml"
_CONTINUED = re.compile(r"\\\n")
_RUN = re.compile(r"\btaskhub\b.*\brun\b")

Settings = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class UnitFile:
    """A service or a socket of ours, with what its drop-ins change."""

    path: Path
    settings: Settings
    is_enabled: bool
    """Whether something starts it at boot."""

    def last(self, name: str, default: str = "") -> str:
        """The value in force of a setting that has one."""
        values = self.settings.get(name, ())
        return values[-1] if values else default

    def words(self, name: str) -> list[str]:
        """The values of a setting that is a list, parted at blanks."""
        return [word for value in self.settings.get(name, ()) for word in value.split()]

    def span(self, name: str, default: float) -> float:
        """The value of a setting that is a time, in seconds."""
        text = self.last(name)
        return seconds(text) if text else default

    def is_on(self, name: str) -> bool:
        """The value of a setting that is yes or no."""
        return self.last(name).lower() in {"yes", "true", "on", "1"}

    @property
    def unit(self) -> str:
        """The unit of `[units]` that it runs."""
        found = re.search(r"--unit[ =](\S+)", self.last("ExecStart"))
        return found[1] if found else ROOT

    @property
    def config(self) -> Path:
        """The configuration file that it reads."""
        named = re.search(r"--config[ =](\S+)", self.last("ExecStart"))
        return Path(named[1] if named else self._environment().get("TASKHUB_CONFIG", ""))

    def _environment(self) -> dict[str, str]:
        pairs = [
            word.partition("=")
            for value in self.settings.get("Environment", ())
            for word in _split(value)
        ]
        return {"TASKHUB_CONFIG": DEFAULT_CONFIG, **{name: value for name, _, value in pairs}}


def services(folders: Sequence[Path] | None = None) -> list[UnitFile]:
    """The services that run TaskHub, by name."""
    found = _units(folders or FOLDERS, "service")
    return [unit for unit in found if _RUN.search(unit.last("ExecStart"))]


def sockets(folders: Sequence[Path] | None = None) -> list[UnitFile]:
    """The sockets that are passed to them, by name."""
    return _units(folders or FOLDERS, "socket")


def _units(folders: Sequence[Path], kind: str) -> list[UnitFile]:
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"taskhub*.{kind}")):
            found.setdefault(path.name, path)
    return [
        UnitFile(path, _settings(path, folders), _is_enabled(path.name, folders))
        for _, path in sorted(found.items())
        if not _is_masked(path)
    ]


def _is_masked(path: Path) -> bool:
    return path.is_symlink() and path.resolve() == Path("/dev/null")


def _is_enabled(name: str, folders: Sequence[Path]) -> bool:
    """Instances of a template (`taskhub-worker@1.service`) enable their template."""
    pattern = name.replace("@.", "@*.")
    return any(
        next(folder.glob(f"*.{kind}/{pattern}"), None)
        for folder in folders
        for kind in ("wants", "requires")
    )


def _settings(path: Path, folders: Sequence[Path]) -> Settings:
    """Later lines win, those of drop-ins last; an empty value empties a list."""
    drop_ins = [each for folder in folders for each in folder.glob(f"{path.name}.d/*.conf")]
    found: dict[str, tuple[str, ...]] = {}
    for file in (path, *sorted(drop_ins, key=lambda each: each.name)):
        for name, value in _lines(file):
            found[name] = (*found.get(name, ()), value) if value else ()
    return found


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = _CONTINUED.sub(" ", path.read_text(errors="replace"))
    except OSError:  # what cannot be read cannot be judged
        return
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith(("#", ";")):
            yield name.strip(), value.strip()


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()
