"""The command `taskhub`: runs one command and turns whatever happens into an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

CHILD = "_child"
"""The hidden command of child processes: `python -m taskhub _child`."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (None: that of this process); returns the exit code."""
    words = sys.argv[1:] if args is None else list(args)
    if words[:1] == [CHILD]:
        gc.disable()  # until it lives: what is imported stays, each look at it is in vain
        from taskhub.app import child_main

        return child_main()
    try:
        return _command(words)
    except KeyboardInterrupt:  # also while Python still imports
        return 130


def _command(words: list[str]) -> int:
    """Import no more than the one command needs."""
    import click

    from taskhub.cli import exits

    _mend_streams()
    try:
        return _invoke(words)
    except exits.Failure as failure:
        failure.show()
        return failure.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return exits.INTERRUPTED
    except BrokenPipeError:
        exits.silence_stdout()
        return exits.FAILED
    except Exception:  # noqa: BLE001 - the last place that can say whose fault it is
        return exits.bug()


def _mend_streams() -> None:
    """Text that the terminal has no letters for is written out; a closed stream is a silent one."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # `>&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif hasattr(stream, "reconfigure"):  # not where a test has put its own
            stream.reconfigure(errors="backslashreplace")


def _invoke(words: list[str]) -> int:
    from taskhub.cli import exits
    from taskhub.cli.group import commands
    from taskhub.errors import ConfigError, TaskHubError

    try:
        code = commands.main(words, prog_name="taskhub", standalone_mode=False)
        sys.stdout.flush()
    except ConfigError as error:
        raise exits.of_problems([problem.detail for problem in error.problems]) from error
    except TaskHubError as error:
        raise exits.Failure(exits.FAILED, error.reason) from error
    return code if isinstance(code, int) else exits.OK
