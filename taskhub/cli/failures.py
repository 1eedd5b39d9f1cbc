"""`taskhub failures` and `taskhub attempts`: what fails alike, and how one task fared."""

from __future__ import annotations

from typing import Any

import click

from taskhub.cli import client, options, say
from taskhub.cli.client import task_path
from taskhub.cli.paging import pages

COLOURS = {"Done": "green", "Failed": "red", "Cancelled": "yellow", "Running": "cyan"}

Group = dict[str, Any]
Attempt = dict[str, Any]


@click.command()
@click.option("--type", "kind", help="Of tasks of this type.")
@click.option("--since", help="That have failed since then, such as 2030-01-31T08:00:00Z.")
@options.list_options
def failures(
    *, kind: str | None, since: str | None, limit: int, everything: bool, as_json: bool
) -> None:
    """Show failed tasks in groups of those that are alike; with --json one group a line.

    The tasks of a group: taskhub list 'fingerprint:...'; all of them again:
    taskhub retry --query 'fingerprint:...' (count them first, with --dry-run).
    """
    query = {"type": kind, "since": since}
    groups = pages(
        client.from_environment(), "/tasks/failures", query, None if everything else limit
    )
    header = ("FINGERPRINT", "TASKS", "LAST", "TYPE", "EXCEPTION", "PLACE", "ERROR")
    say.listing(groups, header, _group_row, as_json=as_json)


def _group_row(group: Group) -> tuple[object, ...]:
    count = f"{group['count']:,}{'+' if group['more'] else ''}"
    error = str(group["error"] or "").partition("\n")[0]
    named = (group[name] or "-" for name in ("type", "exception", "place"))
    return group["fingerprint"] or "-", count, say.moment(group["lastSeen"]), *named, error


@click.command()
@click.argument("id_", metavar="ID")
@options.json_option
def attempts(id_: str, *, as_json: bool) -> None:
    """Show the attempts of a task with their errors, oldest first; with --json one a line.

    Those before an operator's retry are there too. What was raised where follows on stderr.
    """
    items = client.from_environment().get(task_path(id_, "/attempts"))["items"]
    header = ("TRY", "END", "STARTED", "ENDED", "WORKER", "FINGERPRINT", "ERROR")
    say.listing(items, header, _attempt_row, as_json=as_json)
    if not as_json:
        for line in _trace(items):
            say.note(line)


def _attempt_row(attempt: Attempt) -> tuple[object, ...]:
    error = str(attempt["error"] or "").partition("\n")[0]
    times = (say.moment(attempt[name]) for name in ("startedAt", "endedAt"))
    rest = (attempt[name] or "-" for name in ("worker", "fingerprint"))
    return attempt["attempt"], attempt["end"], *times, *rest, error


def _trace(items: list[Attempt]) -> list[str]:
    """The stack of the newest failure that has one."""
    traces = [attempt["trace"] for attempt in items if attempt["trace"]]
    return [say.printable(line) for line in traces[-1].splitlines()] if traces else []
