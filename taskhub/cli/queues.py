"""`taskhub queues` and `taskhub why`: how queues stand, stopping and starting them, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskhub.cli import client, exits, options, say
from taskhub.cli.client import path_of, task_path

F = TypeVar("F", bound=Callable[..., Any])

ONCE = 5.0
"""Seconds that one request of a drain waits."""


@click.group(invoke_without_command=True)
@options.json_option
@click.pass_context
def queues(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click names it
    """Show the queues that are paused or have tasks (for operators), or stop and start one."""
    if ctx.invoked_subcommand is not None:
        return
    answer = client.from_environment().get("/queues")
    if as_json:
        say.document(answer)
        return
    say.table(("QUEUE", "STATE", "PENDING", "RUNNING", "OLDEST"), map(_row, answer["items"]))


def _row(queue: dict[str, Any]) -> tuple[object, ...]:
    state = "paused" if queue["paused"] else "open"
    oldest = say.duration(queue["oldestSeconds"]) if queue["pending"] else "-"
    return queue["name"], state, queue["pending"], queue["processing"], oldest


def _which(command: F) -> F:
    """A NAME, and whether it is that of a type."""
    for decorate in (
        options.json_option,
        click.option("--type", "is_type", is_flag=True, help="NAME is a type, not a queue."),
        click.argument("name"),
    ):
        command = decorate(command)
    return command


@queues.command()
@_which
def pause(name: str, *, is_type: bool, as_json: bool) -> None:
    """Let no more task of a queue (or type) begin, anywhere; what runs goes on."""
    _show(_act(name, "pause", is_type=is_type), as_json=as_json)


@queues.command()
@_which
def resume(name: str, *, is_type: bool, as_json: bool) -> None:
    """Let the tasks of a queue (or type) begin again."""
    _show(_act(name, "resume", is_type=is_type), as_json=as_json)


@queues.command()
@_which
@click.option("--timeout", type=click.FloatRange(min=0), help="Give up after so many seconds.")
def drain(name: str, *, is_type: bool, as_json: bool, timeout: float | None) -> int:
    """Pause a queue (or type), and wait until none of its tasks runs.

    Exit code 1: somebody has resumed it, or --timeout is over; it stays paused then.
    """
    left, told = timeout, -1
    while True:
        wait = ONCE if left is None else min(ONCE, left)
        standing = _act(name, f"drain?wait={wait:g}", is_type=is_type)
        left = None if left is None else left - wait
        is_over = not (standing["processing"] and standing["paused"]) or left == 0
        if is_over:
            _show(standing, as_json=as_json)
            return exits.FAILED if standing["processing"] else exits.OK
        if standing["processing"] != told:
            told = standing["processing"]
            say.note(say.printable(f"taskhub: {name}: {told} still run"))


def _act(name: str, verb: str, *, is_type: bool) -> dict[str, Any]:
    path = path_of("types" if is_type else "queues", name, f"/{verb}")
    answer: dict[str, Any] = client.from_environment().post(path)
    return answer


def _show(standing: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say.document(standing)
        return
    state = "paused" if standing["paused"] else "open"
    say.data(say.printable(f"{standing['name']} is {state}, {standing['processing']} run"))


@click.command()
@click.argument("id_", metavar="ID")
@options.json_option
def why(id_: str, *, as_json: bool) -> None:
    """Show why a task does or does not run; what to look at first comes first."""
    answer = client.from_environment().get(task_path(id_, "/why"))
    if as_json:
        say.document(answer)
        return
    for reason in answer["reasons"]:
        say.data(say.printable(str(reason["text"])))
