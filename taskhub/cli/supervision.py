"""`taskhub status` and `taskhub reload`: asks the processes that run here over their sockets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from taskhub.cli import exits, options, say
from taskhub.config.runtime import runtime_directory, socket_path
from taskhub.config.sections import Config
from taskhub.config.units import ROOT, UnitEntry, entries
from taskhub.kernel.call import Refused, Unreachable, call_blocking

ANSWER_WITHIN = 2.0  # seconds; a process that lives answers in milliseconds
RELOAD_WITHIN = 60.0  # seconds for all processes of a tree to change
GONE = (ConnectionRefusedError, FileNotFoundError)
"""What a socket says whose process has ended without taking it away."""

CHECK = "reload-check"
"""What the root of each tree answers, and no child of one."""
COLOURS = {
    "ready": "green",
    "frozen": "red",
    "restarting": "yellow",
    "starting": "yellow",
    "degraded": "yellow",
    "failed": "red",
}
EMPTY = {"applied": False, "problems": [], "changes": [], "needsRestart": []}
HEADER = ("ACTOR", "STATE", "UP", "RESTARTS", "MAILBOX", "PID", "LOG", "LAST ERROR")


@dataclass(frozen=True)
class Process:
    """What one process says of itself; `pid` None: it does not answer."""

    unit: str
    pid: int | None
    actors: list[dict[str, Any]]
    ill: list[dict[str, str]] = field(default_factory=list)
    """Parts that are not well: their name, state and what is wrong."""
    ready: bool = False
    """Whether it can do its work."""
    parts: list[dict[str, str]] = field(default_factory=list)
    """Each part with its state: `failed` is what keeps it from being ready."""
    levels: dict[str, str] = field(default_factory=dict)
    """The least loud level that is written, by the names of its actors and by its own."""


@click.command()
@options.config_options
@options.json_option
def status(path: Path | None, overrides: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001
    """Show the actors of every process that runs here, and which parts are not well.

    Exit code 1: a process is not ready, and which part and why is said on stderr.
    Exit code 3: none runs (with this configuration, in this folder).
    """
    return show(path, overrides, as_json=as_json)


def show(path: Path | None, overrides: tuple[str, ...], *, as_json: bool) -> int:
    """Put every process on the terminal; raises Failure when there is none, or one is not ready."""
    found = processes(options.loaded(path, overrides).config)
    if not found:
        raise exits.Failure(exits.UNREACHABLE, "no TaskHub runs here")
    if as_json:
        say.document([vars(process) for process in found])
    else:
        _table(found)
    if reasons := [reason for process in found for reason in unready(process)]:
        raise exits.Failure(exits.FAILED, *reasons)
    return exits.OK


def unready(process: Process) -> Iterator[str]:
    """Why a process cannot do its work, a line for each part; nothing when it can."""
    if process.ready:
        return
    failed = [part for part in process.parts if part["state"] == "failed"]
    if not failed:
        why = "it does not answer" if process.pid is None else "it has not finished its start"
        yield f"{process.unit} is not ready: {why}"
    for part in failed:
        text = f"{process.unit} is not ready: {part['name']}: {part['detail']}"
        yield say.printable(text)


def processes(config: Config) -> list[Process]:
    """Every process of this installation that lives here, the root first."""
    found = [_asked(path) for path in sockets(config)]
    return [process for process in found if process]


def sockets(config: Config) -> list[Path]:
    """The supervision sockets that are there: the root's first, then by name."""
    directory = runtime_directory(config, os.environ)
    known = {socket_path(directory, unit) for unit in _instances(config)}
    return _there(directory, known)


def _there(directory: Path, known: Iterable[Path] = ()) -> list[Path]:
    there = {path for path in known if path.exists()} | set(directory.glob("*.sock"))
    return sorted(there, key=lambda path: (path.stem != ROOT, path.stem))


def _instances(config: Config) -> Iterator[str]:
    """Every name that a process may have."""
    for unit in config.units:
        yield unit
        for entry in entries(config.units, unit):
            yield from entry.instances if isinstance(entry, UnitEntry) else ()


def _asked(path: Path) -> Process | None:
    """What a process says; None when it has gone."""
    try:
        ping = call_blocking(path, "ping", ANSWER_WITHIN)
        tree = call_blocking(path, "tree", ANSWER_WITHIN)
        told = _readiness(path, ping)
    except Unreachable as error:
        return None if isinstance(error.__cause__, GONE) else Process(path.stem, None, [])
    except Refused:
        return Process(path.stem, None, [])
    return Process(
        path.stem,
        ping["pid"],
        tree.get("actors", []),
        tree.get("ill", []),
        told["ready"],
        told["parts"],
        tree.get("levels", {}),
    )


def _readiness(path: Path, ping: dict[str, Any]) -> dict[str, Any]:
    """What it says of its parts; one that was started by an older TaskHub knows only of itself."""
    try:
        return call_blocking(path, "ready", ANSWER_WITHIN)
    except Refused:
        return {"ready": ping["ready"], "parts": []}


def _table(found: list[Process]) -> None:
    rows = [row for process in found for row in _rows(process)]
    header, *lines = say.columns(HEADER, rows)
    say.data(header)
    for row, line in zip(rows, lines, strict=True):
        say.data(line, colour=COLOURS.get(str(row[1])) if row[1] != "ready" else None)


def _rows(process: Process) -> Iterator[tuple[str, ...]]:
    if process.pid is None:
        yield process.unit, "frozen", "", "", "", "", "", "it does not answer"
        return
    level = process.levels.get
    yield process.unit, "process", "", "", "", str(process.pid), level(process.unit, ""), ""
    for part in process.ill:
        yield f"  ({part['name']})", part["state"], "", "", "", "", "", part["detail"]
    for actor in process.actors:
        yield (
            f"  {actor['name']}",
            str(actor["state"]),
            say.duration(actor["uptime"]),
            str(actor["restarts"]),
            _mailbox(actor),
            str(actor["pid"] or ""),
            level(actor["name"], ""),
            str(actor["last_error"] or ""),
        )


def _mailbox(actor: dict[str, Any]) -> str:
    limit = actor["mailbox_limit"]
    return f"{actor['mailbox_depth']}/{limit}" if limit else ""


@click.command()
@options.config_options
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@options.json_option
def reload(path: Path | None, overrides: tuple[str, ...], *, dry_run: bool, as_json: bool) -> int:
    """Apply the configuration file to a running TaskHub, or say why not.

    Nothing is changed when there is any mistake in it, or when any process that runs here cannot
    work with it (exit code 2).
    """
    places = _to_reload(path, overrides)
    found = ((each, _told_to(each, CHECK, tell=not dry_run)) for each in places)
    checked = {each: answer for each, answer in found if answer}
    if not checked:
        raise exits.Failure(exits.UNREACHABLE, "no TaskHub runs here that can be told to reload")
    answers = [answer for answer in checked.values() if answer["problems"]]
    if not answers:  # else who would take it does not get it either: all of them or none
        answers = list(checked.values()) if dry_run else _reloaded(checked)
    if as_json:
        say.document(answers)
    else:
        for answer in answers:
            _report(answer)
    return exits.USAGE if any(answer["problems"] for answer in answers) else exits.OK


def _to_reload(path: Path | None, overrides: Sequence[str]) -> list[Path]:
    """The sockets of all that may have to change; a file that is wrong is mostly found here.

    The ExecReload of a service cannot read its credentials: there the processes judge the file.
    """
    given = os.environ.get("RUNTIME_DIRECTORY") if "CREDENTIALS_DIRECTORY" in os.environ else None
    try:
        return sockets(options.loaded(path, overrides).config)
    except exits.Failure:
        if not given:
            raise
        return _there(Path(given.partition(":")[0]))


def _reloaded(paths: Iterable[Path]) -> list[dict[str, Any]]:
    return [answer for path in paths if (answer := _told_to(path, "reload"))]


def _told_to(path: Path, verb: str, **args: bool) -> dict[str, Any] | None:
    """What one process did about its configuration; None when it is gone, or a child."""
    answer = _answer(path, verb, **args)
    return answer and {"unit": path.stem, **EMPTY, **answer}


def _answer(path: Path, verb: str, **args: str | bool) -> dict[str, Any] | None:
    """The answer of one process; None when it is gone, or one that leaves it to its parent."""
    try:
        return call_blocking(path, verb, RELOAD_WITHIN, **args)
    except Unreachable as error:
        if isinstance(error.__cause__, GONE):
            return None
        raise exits.Failure(exits.UNREACHABLE, f"{path.stem} does not answer") from error
    except Refused as error:
        if error.code == "unknown-verb":
            return None
        raise exits.Failure(exits.FAILED, say.printable(f"{path.stem}: {error}")) from error


def set_level(config: Config, name: str, level: str) -> None:
    """Have every tree and unit here that knows `name` do it; raises Failure when none does."""
    args = {"name": name, "level": level}
    answers = [told for each in sockets(config) if (told := _answer(each, "loglevel", **args))]
    if not answers:
        raise exits.Failure(exits.UNREACHABLE, "no TaskHub runs here")
    if not any(answer["known"] for answer in answers):
        known = "an actor (pool), a process (worker-1), or both (worker-1/pool)"
        raise exits.Failure(exits.FAILED, f"nobody here has that name: expected {known}")


def _report(answer: dict[str, Any]) -> None:
    """What one process has done, or why it has done nothing."""
    unit = answer["unit"]
    if answer["problems"]:
        say.note(f"taskhub: {unit} has refused, and nothing was changed:")
        for problem in answer["problems"]:
            say.note(say.printable(f"taskhub:   {problem}"))
    elif not answer["changes"] and not answer["needsRestart"]:
        say.data(f"{unit}: nothing has changed")
    else:
        say.data(f"{unit}: {'applied' if answer['applied'] else 'would change'}")
        for change in answer["changes"]:
            say.data(say.printable(f"  {change}"))
        for key in answer["needsRestart"]:
            say.data(say.printable(f"  {key} (restart-needed)"))
