"""A copy in a process of its own: `python -m tests.conformance.store.copier KIND PLACE KIND PLACE`.

It says each step and goes on when it is told to, so that its starter can kill it at a certain one.
"""

from __future__ import annotations

import sys

from taskhub.store.moving import Progress, copy

from tests.conformance.store.sides import side


def wait(progress: Progress) -> None:
    """Say how far it is; a line on stdin is the word to go on."""
    sys.stdout.write(f"{progress.act} {progress.table} {progress.done}\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    copy(side(*sys.argv[1:3]), side(*sys.argv[3:5]), wait)
