"""Options that several commands share, and the configuration that they lead to.

Most commands ask a TaskHub and read no configuration: what reads one is imported by whoever does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskhub.cli import exits, say
from taskhub.config.units import ROOT, actors
from taskhub.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from taskhub.config.load import Loaded

F = TypeVar("F", bound=Callable[..., Any])


def config_options(command: F) -> F:
    """`--config` and `--set`, for every command that reads the configuration."""
    for decorate in (_set_option, _config_option):
        command = decorate(command)
    return command


def list_options(command: F) -> F:
    """`--limit`, `--all` and `--json`, for every command that shows a list of the API."""
    for decorate in (json_option, _all_option, _limit_option):
        command = decorate(command)
    return command


_config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="The configuration file [default: $TASKHUB_CONFIG, else ./supervisor.toml, "
    "else /etc/taskhub/supervisor.toml, else none].",
)
_set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One value for this run, such as http.port=9000; may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="So many."
)
_all_option = click.option("--all", "everything", is_flag=True, help="All of them, page by page.")


def loaded(path: Path | None, overrides: Sequence[str] = (), unit: str | None = None) -> Loaded:
    """The configuration; ends the command with every mistake in it, those for `unit` too.

    What is doubtful is said on stderr.
    """
    from taskhub.config.load import load

    try:
        found = load(path, os.environ, pairs(overrides))
    except ConfigError as error:
        problems = list(error.problems)
    else:
        for warning in found.warnings:
            say.note(f"taskhub: warning: {warning}")
        problems = unit_problems(found, unit) if unit else []
        if not problems:
            return found
    raise exits.of_problems([problem.detail for problem in problems])


def unit_problems(found: Loaded, unit: str) -> list[ConfigProblem]:
    """What keeps this unit from running with a configuration that is right in itself."""
    from taskhub.config.load import check_unit

    try:
        check_unit(found, unit)
    except ConfigError as error:
        return list(error.problems)
    return _key_problems(found) if "api" in actors(found.config.units, unit) else []


def _key_problems(found: Loaded) -> list[ConfigProblem]:
    """What only the part that checks tokens can say: whether the kind of key is safe."""
    from taskhub.http.keys import jwt_problems
    from taskhub.http.tls import tls_problems

    return [*jwt_problems(found.config.jwt), *tls_problems(found.config.http)]


def pairs(overrides: Sequence[str]) -> dict[str, str]:
    """Each `KEY=VALUE` of `--set`; raises UsageError for what is none, or is a secret."""
    from taskhub.config.keys import key_of

    found: dict[str, str] = {}
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--set needs KEY=VALUE, not {text!r}")
        known = key_of(key.strip())
        if known and known.is_secret:  # everybody on this machine can read a command line
            raise click.UsageError(f"{known.path} is a secret: not on the command line")
        found[key.strip()] = value
    return found


unit_option = click.option(
    "--unit", default=ROOT, show_default=True, help="The unit of [units] that is meant."
)


def loaded_again(found: Loaded, extra: Mapping[str, str]) -> Loaded:
    """The same places with more overrides; ends the command with every mistake."""
    from taskhub.config.load import load

    try:
        return load(found.path, os.environ, {**found.overrides, **extra})
    except ConfigError as error:
        raise exits.of_problems([problem.detail for problem in error.problems]) from error
