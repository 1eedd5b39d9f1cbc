"""Cancel, retry, delete: one task by its id, or all that match a search; all of it over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import click
from msgspec import to_builtins

from taskhub.cli import client, exits, options, say
from taskhub.cli.client import Client, task_path
from taskhub.cli.tasks import print_task
from taskhub.client.structs import BulkReport, Verb, added

F = TypeVar("F", bound=Callable[..., Any])

DONE = {"cancel": "cancelled", "retry": "retried", "delete": "deleted"}
NOTHING = BulkReport(matched=0, changed=0, skipped=0)
PROMPT = {"cancel": "Cancel", "retry": "Retry", "delete": "Delete"}


@dataclass(frozen=True)
class Wish:
    """Which tasks, and how it is to be done."""

    verb: Verb
    query: str | None
    everything: bool
    dry_run: bool
    yes: bool
    as_json: bool


def which_tasks(command: F) -> F:
    """An ID, or `--query` and what goes with it."""
    for decorate in reversed(
        (
            click.argument("id_", metavar="[ID]", required=False),
            click.option("--query", metavar="SEARCH", help="All tasks that match (for operators)."),
            click.option("--all", "everything", is_flag=True, help="Every task."),
            click.option("--dry-run", is_flag=True, help="Count them, show some, change nothing."),
            click.option("--yes", "-y", is_flag=True, help="Do not ask at the terminal."),
            options.json_option,
        )
    ):
        command = decorate(command)
    return command


@click.command()
@which_tasks
def cancel(id_: str | None, *, as_json: bool, **which: Any) -> None:
    """Cancel a task, or all that match; those that run are told to stop, and end soon.

    A search is such as 'status:pending type:image.*': see docs/search.md.
    """
    wish = _wish("cancel", id_, as_json=as_json, **which)
    if wish is not None:
        _many(wish)
    else:
        _one(str(id_), "cancel", as_json=as_json)


@click.command()
@which_tasks
def retry(id_: str | None, *, as_json: bool, **which: Any) -> None:
    """Run a failed or cancelled task again, or all that match (for operators).

    A search is such as 'status:failed error:~timeout age:<1d': see docs/search.md.
    """
    wish = _wish("retry", id_, as_json=as_json, **which)
    if wish is not None:
        _many(wish)
    else:
        _one(str(id_), "retry", as_json=as_json)


@click.command()
@which_tasks
def delete(id_: str | None, *, as_json: bool, **which: Any) -> None:
    """Delete a task that has ended, or all that match and have ended (for operators).

    A search is such as 'status:done finished:>30d': see docs/search.md.
    """
    wish = _wish("delete", id_, as_json=as_json, **which)
    if wish is not None:
        _many(wish)
    else:
        _delete_one(str(id_), as_json=as_json)


def _wish(verb: Verb, id_: str | None, **which: Any) -> Wish | None:
    """What is asked for; None: one task; raises UsageError where that is not clear."""
    given = [id_ is not None, which["query"] is not None, which["everything"]]
    if sum(given) != 1:
        raise click.UsageError("expected one of: an ID, --query SEARCH, --all")
    if id_ is not None and which["dry_run"]:
        raise click.UsageError("--dry-run goes with --query or --all")
    return Wish(verb, **which) if id_ is None else None


def _one(id_: str, verb: str, *, as_json: bool) -> None:
    print_task(client.from_environment().post(task_path(id_, f"/{verb}")), as_json=as_json)


def _delete_one(id_: str, *, as_json: bool) -> None:
    """By a search for that very id: whatever was typed, it can match no other task."""
    from taskhub.search import Field, one_of, printed

    query = printed(one_of(Field.ID, id_))
    wish = Wish("delete", query, everything=False, dry_run=False, yes=True, as_json=as_json)
    total = _done(client.from_environment(), wish)
    if not total.changed:
        is_needed = "a task that is after it waits or runs"
        said = is_needed if total.skipped else "no task of this id has ended"
        raise exits.Failure(exits.FAILED, said)
    _show_report(wish, total)


def _many(wish: Wish) -> None:
    hub = client.from_environment()
    is_asked = not wish.yes and sys.stdin.isatty()
    if wish.dry_run or is_asked:
        found = _counted(hub, wish)
        if wish.dry_run:
            _show_count(wish, found)
            return
        if not click.confirm(f"{PROMPT[wish.verb]} {say.tasks(found.matched)}?", err=True):
            raise exits.Failure(exits.FAILED, "nothing was changed")
    _show_report(wish, _done(hub, wish))


def _counted(hub: Client, wish: Wish) -> BulkReport:
    """How many match, over all answers; the first one shows some."""
    return reduce(added, _reports(hub, wish, dry_run=True), NOTHING)


def _done(hub: Client, wish: Wish) -> BulkReport:
    """Do it, request by request; what was done before one fails is said."""
    total = NOTHING
    try:
        for report in _reports(hub, wish, dry_run=False):
            total = added(total, report)
            if total.next is not None:
                say.note(f"taskhub: {say.tasks(total.changed)} {DONE[wish.verb]}, going on")
    except exits.Failure:
        if total.changed:
            say.note(f"taskhub: {say.tasks(total.changed)} {DONE[wish.verb]} before that")
        raise
    return total


def _reports(hub: Client, wish: Wish, *, dry_run: bool) -> Iterator[BulkReport]:
    return hub.bulk(wish.verb, wish.query or "", everything=wish.everything, dry_run=dry_run)


def _show_count(wish: Wish, found: BulkReport) -> None:
    if wish.as_json:
        say.document({"matched": found.matched, "sample": to_builtins(found.sample)})
        return
    say.data(f"{say.tasks(found.matched)} would be {DONE[wish.verb]}")
    if found.sample:
        rows = [(s.id, s.status, s.type, s.title) for s in found.sample]
        for line in say.columns(("ID", "STATUS", "TYPE", "TITLE"), rows):
            say.note(line)


def _show_report(wish: Wish, total: BulkReport) -> None:
    if wish.as_json:
        counts = {"matched": total.matched, "changed": total.changed, "skipped": total.skipped}
        say.document(counts)
        return
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    say.data(f"{say.tasks(total.changed)} {DONE[wish.verb]}{skipped}")
