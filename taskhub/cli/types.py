"""`taskhub types`: which types of tasks there are, and takes away what nobody does any more."""

from __future__ import annotations

from typing import Any

import click

from taskhub.cli import client, exits, options, say
from taskhub.cli.client import path_of

Row = dict[str, Any]


@click.group(invoke_without_command=True)
@options.json_option
@click.pass_context
def types(ctx: click.Context, *, as_json: bool) -> int:
    """Show the types of tasks: who does them, how many wait, what their payloads must be.

    STANDING: active (a worker does it), away (none has said so for 90 seconds), unknown (tasks
    of it wait, and no worker has ever registered it, or it was forgotten).
    """
    if ctx.invoked_subcommand is None:
        rows = client.from_environment().get("/types")["items"]
        header = ("TYPE", "STANDING", "WAITING", "QUEUE", "SEEN", "PAYLOAD")
        say.listing(rows, header, _row, as_json=as_json)
    return exits.OK


@types.command()
@click.argument("name")
def show(name: str) -> None:
    """Show one type with the JSON Schema of its payload, as JSON."""
    say.document(client.from_environment().get(path_of("types", name)))


@types.command()
@click.argument("name")
def forget(name: str) -> None:
    """Take a type away that no worker does any more; needs the role Admin or Operator.

    New tasks of it are refused from then on. Those that wait stay until a worker registers it
    again; `taskhub cancel --query 'type:NAME status:pending'` cancels them.
    """
    client.from_environment().delete(path_of("types", name))
    say.note(say.printable(f"{name} is forgotten"))


def _row(row: Row) -> tuple[object, ...]:
    seen = say.moment(row["seenAt"])
    return row["name"], row["standing"], row["waiting"], row["queue"], seen, _members(row)


def _members(row: Row) -> str:
    """`url width?`: the members of its payload, those that may be missing with a mark."""
    schema = row["payloadSchema"]
    needed = set(schema.get("required", ()))
    names = schema.get("properties", {})
    return " ".join(name if name in needed else f"{name}?" for name in names) or "-"
