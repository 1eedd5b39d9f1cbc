"""`taskhub audit`: the audit log over the API, newest first; it changes nothing."""

from __future__ import annotations

from typing import Any

import click

from taskhub.cli import client, options, say
from taskhub.cli.paging import pages

Entry = dict[str, Any]


@click.command()
@click.option("--actor", help="Whose acts: the subject of a token, or a process.")
@click.option("--task", help="What was done to this task.")
@click.option("--since", help="At this time or later, such as 2030-01-31T08:00:00Z.")
@click.option("--before", help="Before this time.")
@click.option("--text", help="What messages begin with; `heartbeat` shows the marks of processes.")
@options.list_options
def audit(*, limit: int, everything: bool, as_json: bool, **filters: str | None) -> None:
    """Show who did what, newest first (for operators); with --json one entry a line."""
    query = {"taskId": filters.pop("task"), **filters}
    hub = client.from_environment()
    entries = pages(hub, "/audit", query, None if everything else limit)
    header = ("AT", "WHO", "WHAT", "TASK", "FROM", "REQUEST")
    say.listing(entries, header, _row, as_json=as_json)


def _row(entry: Entry) -> tuple[object, ...]:
    rest = (entry[name] or "" for name in ("taskId", "address", "requestId"))
    return say.moment(entry["at"]), entry["actor"], entry["message"], *rest
