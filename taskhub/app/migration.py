"""Moves the schema in a process of its own: what that imports would stay in ours for ever."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from taskhub.app.backends import make_store
from taskhub.config.snapshot import decode, encode
from taskhub.errors import StoreDown, StoreFull, StoreLocked, TaskHubError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from taskhub.config.sections import Config
    from taskhub.kernel.notify import Notifier

PASSES = {kind.code: kind for kind in (StoreLocked, StoreFull)}
"""Trouble that is waited for, by its code: all else that can be wrong there, a person mends."""
PAUSE_FIRST, PAUSE_LAST = 0.1, 2.0
"""Seconds between two tries."""
LONGER = 30.0
"""Seconds that a start is prolonged by, again and again, while the database keeps us waiting."""


class Moved(msgspec.Struct, frozen=True):
    """What the process says at its end: the steps that it took, or why it could not."""

    steps: list[str] = []
    error: str = ""
    code: str = ""


async def migrate(config: Config, tell: Callable[[str], None]) -> list[str]:
    """Bring the schema up; the steps taken. Raises SchemaNewer in one line, StoreDown.

    A database that somebody holds, or a full disk, is waited for and told once: a start that failed
    for it would use up the tries that systemd allows.
    """
    pause, told = PAUSE_FIRST, ""
    while True:
        try:
            return await _migrate(config)
        except (StoreLocked, StoreFull) as error:
            if error.detail != told:
                told = error.detail
                tell(f"waiting for the database: {told}")
        await asyncio.sleep(pause)
        pause = min(PAUSE_LAST, 2 * pause)


@asynccontextmanager
async def longer_start(notifier: Notifier) -> AsyncIterator[None]:
    """Systemd waits for what takes long, as its limit of a start is not for the database."""

    async def ask_again_and_again() -> None:
        while True:
            notifier.starting("the database's schema is looked at, or moved", LONGER)
            await asyncio.sleep(LONGER / 3)

    asking = asyncio.create_task(ask_again_and_again(), name="longer start")
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def _migrate(config: Config) -> list[str]:
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
        raise PASSES.get(moved.code, StoreDown)(moved.error)
    return moved.steps


def main() -> None:
    """Be that process: the configuration comes through standard input."""
    logging.disable()  # the outcome says all; Alembic's own words are for its developers
    config = decode(sys.stdin.buffer.read())
    try:
        moved = Moved(steps=asyncio.run(make_store(config).migrate()))
    except TaskHubError as error:
        moved = Moved(error=error.reason, code=error.code)
    sys.stdout.buffer.write(msgspec.json.encode(moved))


if __name__ == "__main__":
    main()
