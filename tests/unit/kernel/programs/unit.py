"""A child process that does what a test orders: `unit.py LIFELINE SOCKET ORDER...`.

Orders: `dies` (before it is ready), `hangs` (never ready), `deaf` (ignores SIGTERM),
`slow` (drains until it is killed), `flash` (dies as soon as it is ready). Its supervision socket
obeys `exit`, `block`, `fork`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from taskhub.kernel.actor import Context
from taskhub.kernel.host import Host, run_process
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.lifeline import attach, say_ready


class Unit:
    """The main actor."""

    def __init__(self, orders: set[str]) -> None:
        self.orders = orders

    async def run(self, ctx: Context) -> None:
        if "deaf" in self.orders:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if "hangs" not in self.orders:
            ctx.ready()
        if "flash" in self.orders:
            os.kill(os.getpid(), signal.SIGKILL)
        await (asyncio.Event() if "slow" in self.orders else ctx.stopping).wait()


def hold_up(seconds: float) -> None:
    """Block the loop, as a bad handler does."""
    time.sleep(seconds)  # noqa: TID251 - a program under test, not a test


async def leave(args: dict[str, Any]) -> dict[str, Any]:
    """End at once, as user code may."""
    os._exit(args["code"])


def keeper_of(host: Host, path: Path, snapshot: bytes) -> Keeper:
    """The supervision socket with the tests' own verbs."""

    async def block(args: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + args["deadline"]
        host.pulse.deadline = lambda: deadline
        asyncio.get_running_loop().call_soon(hold_up, args["seconds"])
        return {}

    async def fork(args: dict[str, Any]) -> dict[str, Any]:
        group = 0 if args.get("apart") else None
        child = subprocess.Popen(["sleep", "1000"], process_group=group)  # noqa: ASYNC220 - on purpose
        return {"pid": child.pid}

    async def replace(args: dict[str, Any]) -> dict[str, Any]:
        host.drain(code=75)
        return {}

    verbs = {"exit": leave, "block": block, "fork": fork, "replace": replace}
    facts = {
        "snapshot": snapshot.decode(),
        "environment": sorted(os.environ),
        "session": os.getsid(0),
        "stdin": str(Path("/proc/self/fd/0").readlink()),
    }
    return Keeper(path, host.pulse, name="unit", verbs=verbs, quick={"facts": lambda _: facts})


def main() -> int:
    """Be a unit."""
    lifeline, path, *orders = sys.argv[1:]
    snapshot = attach(int(lifeline))
    if "dies" in orders:
        return 3
    host = Host("unit")
    host.announce = partial(say_ready, int(lifeline))
    keeper = keeper_of(host, Path(path), snapshot)
    return asyncio.run(run_process(Unit(set(orders)), host, keeper))


if __name__ == "__main__":
    sys.exit(main())
