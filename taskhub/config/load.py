"""Merges file, credentials, environment and command line into one checked configuration."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from taskhub.config import check, environment, file
from taskhub.config.convert import convert
from taskhub.config.keys import (
    FREE,
    NAMED,
    Key,
    free_key,
    hint_for_key,
    hint_for_section,
    key_of,
    keys,
    name_in,
    named_keys,
    sections,
    tables_of,
)
from taskhub.config.sections import Config, Secret
from taskhub.config.settings import Layer, Setting, setting
from taskhub.errors import ConfigError, ConfigProblem

DEFAULT_FILES = (Path("supervisor.toml"), Path("/etc/taskhub/supervisor.toml"))
DEFAULT = "default"
COMMAND_LINE = "command line"


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that holds, and where each of its values comes from."""

    config: Config
    origins: Mapping[str, str]
    """By key (`http.port`): `default`, `supervisor.toml:12`, a variable, a credential."""
    warnings: tuple[str, ...] = ()
    path: Path | None = None
    """The file that was read; None: there was none."""
    overrides: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the user's own modules are looked for: beside the file, or here."""
        return self.path.parent if self.path else Path.cwd()

    def again(self, environ: Mapping[str, str]) -> Loaded:
        """The same places read anew, for a reload; raises ConfigError."""
        return load(self.path, environ, self.overrides)


def load(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None
) -> Loaded:
    """Read everything; raises ConfigError with all problems of all places at once.

    `path` None: `$TASKHUB_CONFIG`, else ./supervisor.toml, else /etc/taskhub/supervisor.toml, else
    the defaults. `overrides` are texts by key and win over all.
    """
    found = _file(path, environ)
    layers = [
        file.read(found) if found else Layer(),
        environment.read_credentials(environ),
        environment.read(environ),
        _command_line(overrides or {}),
    ]
    settings = {item.key.path: item for layer in layers for item in layer.settings}
    problems = [problem for layer in layers for problem in layer.problems]
    config = _checked(settings, problems)
    warnings = tuple(text for layer in layers for text in layer.warnings)
    return Loaded(config, _origins(config, settings), warnings, found, _kept(overrides or {}))


def check_unit(loaded: Loaded, unit: str) -> None:
    """Raises ConfigError when this unit cannot run with this configuration."""
    problems = [_problem(loaded.origins, *wrong) for wrong in check.rules_for(loaded.config, unit)]
    if problems:
        raise ConfigError(problems)


def _file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = path or (Path(environ["TASKHUB_CONFIG"]) if environ.get("TASKHUB_CONFIG") else None)
    found = named or next((each for each in DEFAULT_FILES if each.is_file()), None)
    return found.absolute() if found else None


def _command_line(overrides: Mapping[str, str]) -> Layer:
    found = [_override(path, value) for path, value in overrides.items()]
    return Layer(
        [item for item in found if isinstance(item, Setting)],
        [item for item in found if isinstance(item, ConfigProblem)],
    )


def _kept(overrides: Mapping[str, str]) -> dict[str, str]:
    """The overrides for the next time; a secret among them cannot show itself."""
    found = {path: key_of(path) for path in overrides}
    secret = {path for path, key in found.items() if key is not None and key.is_secret}
    return {path: Secret(text) if path in secret else text for path, text in overrides.items()}


def _override(path: str, value: str) -> Setting | ConfigProblem:
    key = key_of(path)
    if key:
        return setting(key, value, COMMAND_LINE, is_text=True)
    section, _, name = path.partition(".")
    known = section in sections() or section in FREE
    hint = f"key{hint_for_key(section, name)}" if known else f"section{hint_for_section(section)}"
    return ConfigProblem(f"{COMMAND_LINE}: {path}", f"unknown {hint}")


def _checked(settings: Mapping[str, Setting], problems: list[ConfigProblem]) -> Config:
    """The configuration, unless there is any problem here or in `problems`."""
    failed: set[str] = set()

    def report(item: Setting, expected: str) -> None:
        failed.add(item.key.path)
        problems.append(ConfigProblem(f"{item.origin}: {item.key.path}", expected))

    config = convert(settings, report)
    origins = _origins(config, settings)
    wrongs = [wrong for wrong in check.rules(config) if wrong[0] not in failed]
    problems.extend(_problem(origins, *wrong) for wrong in wrongs)
    if problems:
        raise ConfigError(problems)
    return config


def _problem(origins: Mapping[str, str], key: str, expected: str) -> ConfigProblem:
    origin = origins.get(key, DEFAULT)
    return ConfigProblem(key if origin == DEFAULT else f"{origin}: {key}", expected)


def _origins(config: Config, settings: Mapping[str, Setting]) -> dict[str, str]:
    return {
        key.path: settings[key.path].origin if key.path in settings else DEFAULT
        for key in all_keys(config)
    }


def all_keys(config: Config) -> Iterable[Key]:
    """Every key of this configuration, those of the free sections first."""
    yield from (free_key(section, name) for section in FREE for name in getattr(config, section))
    for section, fixed in itertools.groupby(keys().values(), lambda key: key.section):
        yield from fixed
        if section in NAMED:
            yield from (
                key for name in tables_of(config, section) for key in named_keys(section, name)
            )


def value_of(config: Config, key: Key) -> object:
    """The value that stands at a key."""
    section = getattr(config, key.section)
    if key.section in FREE:
        return section[key.name]
    if name := name_in(key.section, key.name):
        table = tables_of(config, key.section).get(name)
        return key.default if table is None else getattr(table, key.name.rpartition(".")[2])
    return getattr(section, key.name)
