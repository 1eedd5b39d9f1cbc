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
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="So many.")
@click.option("--all", "everything", is_flag=True, help="All of them, page by page.")
@options.json_option
def audit(*, limit: int, everything: bool, as_json: bool, **filters: str | None) -> None:
    """Show who did what, newest first (for operators); with --json one entry a line."""
    query = {"taskId": filters.pop("task"), **filters}
    hub = client.from_environment()
    entries = pages(hub, "/audit", query, None if everything else limit)
    if as_json:
        for entry in entries:
            say.json_line(entry)
    else:
        say.table(("AT", "WHO", "WHAT", "TASK", "FROM", "REQUEST"), map(_row, entries))


def _row(entry: Entry) -> tuple[object, ...]:
    at = str(entry["at"])[:19].replace("T", " ")
    rest = (entry[name] or "" for name in ("taskId", "address", "requestId"))
    return at, entry["actor"], entry["message"], *rest
