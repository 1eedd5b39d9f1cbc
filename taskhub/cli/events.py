"""The command `events`: everything that happens, a line each, as it happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from taskhub.cli import client, options, say
from taskhub.cli.client import Told
from taskhub.cli.tasks import STATUSES

TYPES = (
    *("TaskCreated", "TaskStarted", "TaskProgress", "TaskDone"),
    *("TaskRetrying", "TaskFailed", "TaskCancelled"),
)
COLOURS = {"TaskDone": "green", "TaskFailed": "red", "TaskCancelled": "yellow"}
WIDTH = max(map(len, TYPES))


def _one_of(names: tuple[str, ...]) -> Any:
    return click.Choice(names, case_sensitive=False)


@click.command()
@click.option("--event", multiple=True, type=_one_of(TYPES), help="Of this kind; repeatable.")
@click.option(
    "--status", multiple=True, type=_one_of(STATUSES), help="That leads to this; repeatable."
)
@click.option("--type", help="Of tasks of this type.")
@click.option("--queue", help="Of tasks in this queue.")
@click.option("--task", help="Of the task with this id.")
@click.option("--after", type=click.IntRange(min=0), help="Begin after the event with this number.")
@options.json_option
def events(
    *,
    event: tuple[str, ...],
    status: tuple[str, ...],
    after: int | None,
    as_json: bool,
    **rest: str,
) -> None:
    """Follow everything that happens, until Ctrl-C; with --json one event a line.

    Where the line is cut it connects again, and nothing is missed.
    """
    given = {"event": ",".join(event), "status": ",".join(status), **rest}
    query = {name: value for name, value in given.items() if value}
    last = "" if after is None else str(after)
    for told in client.from_environment(is_patient=True).stream("/events", query, last):
        if told.event == "reset":
            say.note(f"taskhub: {_missing(told)}")
        elif as_json:
            say.json_line(told.data)
        else:
            say.data(line(told.event, told.data), colour=COLOURS.get(told.event))


def line(event: str, data: Mapping[str, Any]) -> str:
    """One event for eyes."""
    at = say.moment(str(data.get("at", "")))
    words = [at, event.ljust(WIDTH), str(data.get("id", "")), str(data.get("title") or "")]
    if data.get("progress") is not None:
        words.append(json.dumps(data["progress"], ensure_ascii=False))
    if data.get("error"):
        words.append(str(data["error"]).partition("\n")[0])
    return say.printable("  ".join(words))


def _missing(told: Told) -> str:
    oldest, newest = told.data.get("oldest"), told.data.get("newest")
    return (
        "some events are missing: they were deleted, or the database is another one; "
        f"there are {oldest} to {newest}, and it goes on from now"
    )
