"""The exit codes, a promise to scripts, and the one way for a command to say no; prints nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

OK = 0
FAILED = 1
"""What was asked for did not happen: no such task, a rule was broken, the task has failed."""

USAGE = 2
"""The command line or the configuration is wrong."""

UNREACHABLE = 3
"""Nobody is there, or nobody who can take it now: try again later."""

REFUSED = 4
"""The token is missing, wrong, or does not allow this."""

DOUBTFUL = 5
"""`doctor`: everything works, but something may not for ever."""

INTERNAL = 70
"""A bug of ours, or the supervisor gave up (EX_SOFTWARE of sysexits.h)."""

INTERRUPTED = 130
"""Ctrl-C."""


class Failure(Exception):
    """Ends the command: these lines on stderr, this exit code."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__(*lines)
        self.code, self.lines = code, lines

    def show(self) -> None:
        """One line for each thing that is wrong."""
        for line in self.lines:
            click.echo(f"taskhub: {line}", err=True)


def of_problems(details: Sequence[str]) -> Failure:
    """Everything that is wrong with the configuration."""
    count = len(details)
    head = f"the configuration has {count} mistake{'s' if count > 1 else ''}:"
    return Failure(USAGE, head, *(f"  {detail}" for detail in details))


def bug() -> int:
    """Show the traceback of what nobody foresaw: this is for whoever mends it."""
    import traceback

    traceback.print_exc()
    click.echo("taskhub: this is a bug of TaskHub; the lines above say where", err=True)
    return INTERNAL


def silence_stdout() -> None:
    """The reader of our pipe has gone: what is still buffered must not be a second error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
