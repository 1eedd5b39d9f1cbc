"""A root process with one unit below it: `root.py SOCKET [ORDER...]`; tells events on stdout.

Orders: `reloads` (SIGHUP is a reload), `fails` (its only actor dies at once), `foreign` (its
child is a program that knows nothing of lifelines), and those of unit.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from taskhub.kernel.actor import ChildSpec, Context, RestartLimit
from taskhub.kernel.events import KernelEvent
from taskhub.kernel.host import Host, run_root
from taskhub.kernel.process import child_process
from taskhub.kernel.supervisor import Supervisor
from taskhub.kernel.tether import tethered

from tests.unit.kernel.troupe import process_spec


def tell(event: KernelEvent) -> None:
    """One line for each event."""
    fields = dataclasses.asdict(event)
    say({"event": type(event).__name__, **fields})


def say(fact: dict[str, Any]) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(fact, default=repr) + "\n")
    sys.stdout.flush()


class Fails:
    """An actor with a bug."""

    async def run(self, ctx: Context) -> None:
        raise ValueError("a bug")


def children(folder: Path, orders: set[str]) -> list[ChildSpec]:
    """The tree below us."""
    if "fails" in orders:
        return [ChildSpec("fails", Fails)]
    spec = process_spec(folder, *orders - {"reloads", "foreign"})
    if "foreign" in orders:
        spec = dataclasses.replace(
            spec, argv=lambda _: tethered(["sleep", "1000"]), snapshot=None, socket=None
        )
    return [child_process(spec)]


async def main() -> int:
    """Be a root."""
    folder, orders = Path(sys.argv[1]), set(sys.argv[2:])
    reloads = iter([None, ValueError("a bad file")])

    async def reload() -> None:
        say({"event": "Reloading"})
        if error := next(reloads, None):
            raise error

    host = Host("root", tell, on_hangup=reload if "reloads" in orders else None)
    tree = Supervisor(children(folder, orders), RestartLimit(2, base=0.01))
    return await run_root(tree, host)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
