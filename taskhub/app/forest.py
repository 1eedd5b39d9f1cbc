"""What the processes of a tree know together: their actors, and their metrics."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskhub.actors.scheduler import depths
from taskhub.app.restarts import asked_restart
from taskhub.errors import Trouble
from taskhub.kernel.call import Refused, Unreachable, call
from taskhub.obs.exposition import Exposition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.app.kin import Kin
    from taskhub.app.process import Process


class Forest:
    """The root's view of itself and its children."""

    def __init__(self, process: Process, kin: Kin) -> None:
        self._process, self._kin = process, kin
        self.exposition = Exposition(process.metrics, self.gather)

    async def actors(self) -> list[dict[str, Any]]:
        """A row per actor of every process, this one's first."""
        supervisor = self._process.supervisor
        rows = [dataclasses.asdict(state) for state in supervisor.tree()] if supervisor else []
        for answer in (await self._kin.ask("tree")).values():
            rows += answer["actors"]
        return rows

    async def gather(self) -> Sequence[bytes]:
        """The expositions of the children; depths of the queues are counted on the way."""
        answers, _ = await asyncio.gather(self._kin.ask("metrics"), self._count())
        return [answer["body"] for answer in answers.values()]

    async def verb(self, _: dict[str, Any]) -> dict[str, Any]:
        """The verb `forest`."""
        return {"actors": await self.actors()}

    async def restart_verb(self, args: dict[str, Any]) -> dict[str, Any]:
        """The verb `ask-restart-anywhere`: hand it to the process that the name belongs to."""
        name = str(args.get("name", ""))
        path = self._kin.sockets.get(name.partition("/")[0])
        if path is None:
            return await asked_restart(self._process.supervisor, args)
        try:
            return await call(path, "ask-restart", **args)
        except (Unreachable, Refused):
            return {"verdict": "away"}

    async def exposition_verb(self, _: dict[str, Any]) -> bytes:
        """The verb `exposition`: the metrics of the whole tree."""
        return await self.exposition.text()

    async def _count(self) -> None:
        """A scrape of the root tells how deep the queues are."""
        if "store" not in self._process.entries or self._process.store_health.state != "ok":
            return
        with suppress(Trouble):  # then the depths are missing, not all the rest
            self._process.emit(depths(await self._process.store.counts()))
