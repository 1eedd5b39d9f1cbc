"""The client's commands: create, list, show, watch; all of it over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO

import click

from taskhub.cli import client, exits, options, say
from taskhub.cli.client import Client, task_path
from taskhub.cli.importing import create_from
from taskhub.cli.paging import pages
from taskhub.cli.payloads import payload_of

KEY_LIMIT = 255

STATUSES = ("Pending", "Processing", "Done", "Failed", "Cancelled")
ENDED = frozenset({"Done", "Failed", "Cancelled"})
JSON_MEMBERS = frozenset({"payload", "result", "progress"})
"""Whatever the client or the handler gave: shown as the JSON that it is."""

COLOURS = {"Done": "green", "Failed": "red", "Cancelled": "yellow", "Processing": "cyan"}

Task = dict[str, Any]


@click.command()
@click.argument("title", required=False)
@click.option(
    "--from",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help="Create many: a task on each line, in JSON as POST /tasks takes it; - reads stdin.",
)
@click.option("--type", "kind", help="What handles it [default: simulate].")
@click.option("--queue", help="Where it waits.")
@click.option("--group-key", help="Whose it is: keys take turns, and have limits.")
@click.option("--priority", type=int, help="-100 to 100, the greater the sooner.")
@click.option("--payload", help="JSON for the handler; @FILE reads a file, - reads stdin.")
@click.option("--delay", type=float, help="Not before so many seconds from now.")
@click.option("--run-at", help="Not before this time, such as 2030-01-31T08:00:00Z.")
@click.option("--max-attempts", type=int, help="How often it may be started.")
@click.option(
    "--backoff",
    metavar="NAME=NUMBER,...",
    callback=lambda _, __, text: _numbers(text),
    help="How long to wait between attempts, such as base=1,factor=2,cap=300,jitter=0.2.",
)
@click.option("--timeout", type=float, help="Seconds that one attempt may take.")
@click.option(
    "--key",
    callback=lambda _, __, key: _sendable(key),
    help="Idempotency-Key: the same key makes one task, or those of FILE, however often sent.",
)
@click.option("--unique", is_flag=True, help="None where there is one like it, by its payload.")
@click.option("--unique-key", help="None where there is one of its type with this key.")
@click.option("--unique-by", multiple=True, metavar="MEMBER", help="... with the same in these.")
@click.option("--unique-seconds", type=float, help="... made within so many seconds.")
@click.option(
    "--unique-state",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="... in one of these states [default: Pending, Processing].",
)
@click.option("--after", multiple=True, metavar="ID", help="Not before this task has ended.")
@click.option(
    "--on-parent-failure",
    type=click.Choice(("fail", "continue")),
    help="What becomes of it when one of those fails [default: fail].",
)
@click.option(
    "--then",
    multiple=True,
    metavar="JSON",
    help="A task to make with it, after it and those said before: a title and more; @FILE, -.",
)
@click.option("--wait", is_flag=True, help="Follow it until it ends, as `watch` does.")
@options.json_option
def create(
    title: str | None,
    *,
    file: BinaryIO | None,
    as_json: bool,
    wait: bool,
    key: str | None,
    **rest: Any,
) -> int:
    """Create a task and print its id, or with --from the tasks of a file and theirs.

    Exit code 0: it is stored (with --wait: it is Done).
    """
    if file is not None:
        _refuse_more(title, wait, *rest.values())
        return create_from(file, key, as_json=as_json)
    if title is None:
        raise click.UsageError("a TITLE is needed, or --from FILE")
    hub = client.from_environment()
    task: Task = hub.post("/tasks", _body(title, rest), key)
    if wait:
        return _follow(task, as_json=as_json)
    say.json_line(task) if as_json else say.data(say.printable(str(task["id"])))
    return exits.OK


def _refuse_more(*others: object) -> None:
    """The tasks of a file say all of themselves."""
    if any(other not in (None, False, ()) for other in others):
        raise click.UsageError("beside --from only --key and --json can be said")


def _body(title: str, rest: dict[str, Any]) -> Task:
    """The members that were given, as the API names them."""
    names = {
        "kind": "type",
        "queue": "queue",
        "group_key": "groupKey",
        "priority": "priority",
        "delay": "delaySeconds",
        "run_at": "runAt",
        "max_attempts": "maxAttempts",
        "backoff": "backoff",
        "timeout": "timeoutSeconds",
        "on_parent_failure": "onParentFailure",
    }
    body = {name: rest[option] for option, name in names.items() if rest[option] is not None}
    if rest["after"]:
        body["after"] = rest["after"]
    if rest["then"]:
        body["then"] = [payload_of(step, "--then") for step in rest["then"]]
    if rest["payload"] is not None:
        body["payload"] = payload_of(rest["payload"])
    if (unique := _unique(rest)) is not None:
        body["unique"] = unique
    return {"title": title, **body}


def _unique(rest: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was said of being unique, as the API names it."""
    names = {"key": "key", "by": "by", "seconds": "seconds", "state": "states"}
    said = {name: rest[f"unique_{option}"] for option, name in names.items()}
    given = {name: value for name, value in said.items() if value not in (None, ())}
    return given if given or rest["unique"] else None


def _numbers(text: str | None) -> dict[str, float] | None:
    """What `base=1,cap=60` says."""
    if text is None:
        return None
    try:
        pairs = [part.partition("=") for part in text.split(",")]
        return {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        raise click.BadParameter("expected names and numbers, such as base=1,cap=60") from None


def _sendable(key: str | None) -> str | None:
    """A key that fits into a header field."""
    fits = key is None or (0 < len(key) <= KEY_LIMIT and key.isascii() and key.isprintable())
    if not fits:
        raise click.BadParameter(f"1 to {KEY_LIMIT} letters, digits and signs of ASCII only")
    return key


@click.command("list")
@click.argument("words", metavar="[SEARCH]...", nargs=-1)
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="In this state.")
@click.option("--type", "kind", help="Of this type.")
@click.option("--queue", help="In this queue.")
@click.option("--group-key", help="With this key.")
@click.option("--created-from", help="Created at this time or later, such as 2030-01-31T08:00:00Z.")
@click.option("--created-to", help="Created before this time.")
@options.list_options
def list_tasks(
    words: tuple[str, ...],
    *,
    limit: int,
    everything: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List tasks, newest first; with --json one task a line.

    SEARCH narrows the list, such as 'status:failed type:image.* error:~timeout age:>1h': put it
    in single quotes, and -- before one that begins with a dash. The language: docs/search.md.
    """
    hub = client.from_environment()
    query = {
        "q": " ".join(words) or None,
        "status": filters["status"],
        "type": filters["kind"],
        "queue": filters["queue"],
        "groupKey": filters["group_key"],
        "createdFrom": filters["created_from"],
        "createdTo": filters["created_to"],
    }
    tasks = pages(hub, "/tasks", query, None if everything else limit)
    header = ("ID", "STATUS", "TYPE", "TRIES", "CREATED", "TITLE")
    say.listing(tasks, header, _row, as_json=as_json)


def _row(task: Task) -> tuple[object, ...]:
    tries = f"{task['attempts']}/{task['maxAttempts']}"
    created = say.moment(task["createdAt"])
    return task["id"], task["status"], task["type"], tries, created, task["title"]


@click.command()
@click.argument("id_", metavar="ID")
@options.json_option
def show(id_: str, *, as_json: bool) -> None:
    """Show a task."""
    print_task(client.from_environment().get(task_path(id_)), as_json=as_json)


@click.command()
@click.argument("id_", metavar="ID")
@options.json_option
def watch(id_: str, *, as_json: bool) -> int:
    """Follow a task until it ends; its moves go to stderr, the task itself to stdout.

    Exit code 0: it is Done; 1: it has Failed or was Cancelled.
    """
    return _follow(client.from_environment().get(task_path(id_)), as_json=as_json)


def _follow(task: Task, *, as_json: bool) -> int:
    told = ""
    for now in _moves(client.from_environment(is_patient=True), task):
        task, line = now, _move(now)
        if line != told:
            say.note(line, colour=COLOURS.get(task["status"]))
            told = line
    print_task(task, as_json=as_json)
    return exits.OK if task["status"] == "Done" else exits.FAILED


def _moves(hub: Client, task: Task) -> Iterator[Task]:
    """The task as it is, and again after each thing that happens to it, until it has ended."""
    yield task
    path = task_path(str(task["id"]))
    while task["status"] not in ENDED:
        for event in hub.stream(f"{path}/events"):
            if event.event == "end" or _is_news(event.data, task):
                task = hub.get(path)
                yield task


def _is_news(event: Mapping[str, Any], task: Task) -> bool:
    """Whether it happened after the task was last seen: the stream begins with the history."""
    at = event.get("at")
    return at is None or datetime.fromisoformat(at) > datetime.fromisoformat(task["updatedAt"])


def _move(task: Task) -> str:
    """What is new about a task, in one line."""
    parts = [task["status"], f"attempt {task['attempts']} of {task['maxAttempts']}"]
    if task.get("progress") is not None:
        parts.append(json.dumps(task["progress"], ensure_ascii=False))
    if task.get("error"):
        parts.append(str(task["error"]).partition("\n")[0])
    return say.printable("  ".join(map(str, parts)))


def print_task(task: Task, *, as_json: bool) -> None:
    """The task as JSON, or a line for each member that is known."""
    if as_json:
        say.document(task)
    else:
        say.members(task, JSON_MEMBERS, COLOURS)
