"""Moves the schema in a process of its own: what that imports would stay in ours for ever."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

import msgspec

from taskhub.app.backends import make_store
from taskhub.config.snapshot import decode, encode
from taskhub.errors import StoreDown, TaskHubError

if TYPE_CHECKING:
    from taskhub.config.sections import Config


class Moved(msgspec.Struct, frozen=True):
    """What the process says at its end: the steps that it took, or why it could not."""

    steps: list[str] = []
    error: str = ""


async def migrate(config: Config) -> list[str]:
    """Bring the schema up; the steps taken. Raises SchemaNewer in one line, StoreDown."""
    state = await make_store(config).schema()
    if state.found == state.newest:
        return []
    return await _in_a_process(config)


async def _in_a_process(config: Config) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    output, _ = await process.communicate(encode(config, ("jwt", "redis")))
    try:
        moved = msgspec.json.decode(output, type=Moved)
    except msgspec.DecodeError:
        raise StoreDown(f"the migration ended with {process.returncode}") from None
    if moved.error:
        raise StoreDown(moved.error)
    return moved.steps


def main() -> None:
    """Be that process: the configuration comes through standard input."""
    logging.disable()  # the outcome says all; Alembic's own words are for its developers
    config = decode(sys.stdin.buffer.read())
    try:
        moved = Moved(steps=asyncio.run(make_store(config).migrate()))
    except TaskHubError as error:
        moved = Moved(error=error.reason)
    sys.stdout.buffer.write(msgspec.json.encode(moved))


if __name__ == "__main__":
    main()
