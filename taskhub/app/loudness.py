"""`taskhub actors loglevel`: an actor louder or quieter in a whole tree, until the next reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.kernel.call import Refused
from taskhub.obs.lines import SEVERITIES
from taskhub.obs.telemetry import LogLevelChanged

if TYPE_CHECKING:
    from taskhub.app.kin import Kin
    from taskhub.app.process import Process
    from taskhub.app.reload import Reload


class Loudness:
    """The root's side: what it sets is what a child gets that is restarted later."""

    def __init__(self, process: Process, kin: Kin, reload: Reload) -> None:
        self._process, self._kin, self._reload = process, kin, reload

    async def verb(self, args: dict[str, Any]) -> dict[str, Any]:
        """Set the level of `name`; an empty one takes it back to what is configured."""
        name, level = str(args.get("name", "")), str(args.get("level", ""))
        if level and level not in SEVERITIES:
            raise Refused("bad-level", "expected debug, info, warning, error")
        if name not in await self._names():
            return {"known": False}
        levels = await self._reload.relevel(name, level)
        await self._kin.ask("loglevel-told", levels=levels)
        self._process.emit(LogLevelChanged(name=name, to=level))
        return {"known": True}

    async def _names(self) -> set[str]:
        """Every name that somebody here has: full, of an actor, of a process."""
        trees = [answer["actors"] for answer in (await self._kin.ask("tree")).values()]
        found = {row["name"] for tree in trees for row in tree}
        if self._process.supervisor is not None:
            found |= {row.name for row in self._process.supervisor.tree()}
        parts = {part for name in found for part in name.split("/")}
        return found | parts | {self._process.name}
