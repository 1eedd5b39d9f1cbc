"""`taskhub doctor`: looks at everything that TaskHub needs here, and says what mends the rest."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from taskhub.cli import exits, options, say
from taskhub.cli.doctor import clock, database, events, files, running, units
from taskhub.cli.doctor.finding import FAIL, OK, WARN, Finding, fail, worst
from taskhub.config.load import Loaded, load
from taskhub.config.runtime import runtime_directory
from taskhub.errors import ConfigError, TaskHubError

COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}
CODES = {OK: exits.OK, WARN: exits.DOUBTFUL, FAIL: exits.FAILED}
EXPECTED = (OSError, TaskHubError, sqlite3.Error, subprocess.SubprocessError)
"""What a look may end with when the place itself is ill."""


@click.command()
@options.config_options
@options.json_option
def doctor(path: Path | None, overrides: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001
    """Look at the database, event server, clock, files, services, versions and limits.

    Each line is ok, warn or fail; under what is not ok stands what mends it. Changes nothing.

    Exit code 0: all is well; 5: something is doubtful; 1: something does not work.
    """
    findings = list(_all(path, overrides))
    if as_json:
        checks = [finding.plain() for finding in findings]
        say.document({"worst": worst(findings), "checks": checks})
    else:
        _show(findings)
    return CODES[worst(findings)]


def _all(path: Path | None, overrides: Sequence[str]) -> Iterator[Finding]:
    try:
        found = load(path, os.environ, options.pairs(overrides))
    except ConfigError as error:
        for problem in error.problems:
            yield fail("configuration", problem.detail, "mend it; taskhub check finds them all")
        return
    for name, look in _looks(found):
        yield from _safely(name, look)


def _looks(found: Loaded) -> Iterator[tuple[str, Callable[[], Iterable[Finding]]]]:
    config = found.config
    runtime = runtime_directory(config, os.environ)
    yield "configuration", partial(files.look, found)
    yield "database", partial(database.look, config)
    yield "event server", partial(events.look, config, runtime)
    yield "processes", partial(running.look, config)
    yield "clock", partial(clock.look, config)
    yield "systemd", partial(units.look, config, found.path)


def _safely(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a look has found; that it could not be finished is a finding too."""
    try:
        yield from look()
    except EXPECTED as error:
        why = error.reason if isinstance(error, TaskHubError) else _words(error)
        yield fail(name, f"cannot be looked at: {why}", "may this account read it? try as root")


def _words(error: BaseException) -> str:
    return (error.strerror or "failed") if isinstance(error, OSError) else type(error).__name__


def _show(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        line = f"{finding.state:4}  {finding.name.ljust(width)}  {finding.detail}"
        say.data(say.printable(line), colour=COLOURS[finding.state])
        if finding.fix:
            say.data(say.printable(f"{' ' * (width + 8)}fix: {finding.fix}"))
