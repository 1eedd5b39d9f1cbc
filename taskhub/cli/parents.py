"""`taskhub parents` and `children`: what a task is after, what is after it, how it all stands."""

from __future__ import annotations

import json
from typing import Any

import click

from taskhub.cli import client, options, say
from taskhub.cli.client import task_path
from taskhub.cli.paging import pages

RESULT_SHOWN = 60
"""Characters of a result in a table."""


@click.command()
@click.argument("id_", metavar="ID")
@options.json_option
def parents(id_: str, *, as_json: bool) -> None:
    """Show the tasks that a task is after; with --json one a line, with their whole results."""
    items = client.from_environment().get(task_path(id_, "/parents"))["items"]
    say.listing(items, ("ID", "STATUS", "RESULT", "ERROR"), _parent_row, as_json=as_json)


@click.command()
@click.argument("id_", metavar="ID")
@options.list_options
def children(id_: str, *, limit: int, everything: bool, as_json: bool) -> None:
    """Show the tasks that are after a task, newest first; with --json one a line."""
    items = pages(
        client.from_environment(), task_path(id_, "/children"), {}, None if everything else limit
    )
    say.listing(items, ("ID", "STATUS", "TYPE", "TITLE", "ERROR"), _child_row, as_json=as_json)


def _child_row(child: dict[str, Any]) -> tuple[object, ...]:
    return *(child[name] for name in ("id", "status", "type", "title")), _error(child)


def _parent_row(parent: dict[str, Any]) -> tuple[object, ...]:
    return parent["id"], parent["status"] or "deleted", _result(parent), _error(parent)


def _error(task: dict[str, Any]) -> str:
    return str(task["error"] or "-").partition("\n")[0]


def _result(parent: dict[str, Any]) -> str:
    if parent["resultLeftOut"]:
        return "(large)"
    if parent["result"] is None:
        return "-"
    text = json.dumps(parent["result"], ensure_ascii=False)
    return text if len(text) <= RESULT_SHOWN else text[:RESULT_SHOWN] + "..."
