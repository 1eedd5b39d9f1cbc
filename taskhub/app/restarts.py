"""Restarts one actor wherever in the tree it is; whoever asks waits for nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from taskhub.kernel.call import Refused, Unreachable, call
from taskhub.kernel.supervisor import NoSuchActor, Supervisor

if TYPE_CHECKING:
    from taskhub.app.process import Process
    from taskhub.http.context import Verdict


class Restarts:
    """The API's way to the actors: through the process above, where there is one."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def look(self, name: str) -> Verdict:
        """What `ask` would answer; nothing is done."""
        return await self._verdict({"name": name, "look": True})

    async def ask(self, name: str) -> Verdict:
        """Have it stopped and started; does not wait for either."""
        return await self._verdict({"name": name})

    async def _verdict(self, args: dict[str, Any]) -> Verdict:
        process = self._process
        if process.parent is not None:
            try:
                answer = await call(process.parent, "ask-restart-anywhere", **args)
            except (Unreachable, Refused):
                return "away"
        elif process.forest is not None:
            answer = await process.forest.restart_verb(args)
        else:
            answer = await asked_restart(process.supervisor, args)
        return cast("Verdict", answer["verdict"])


async def asked_restart(supervisor: Supervisor | None, args: dict[str, Any]) -> dict[str, Any]:
    """The verb `ask-restart` of one process; by full names: short ones mean several actors."""
    name = str(args.get("name", ""))
    rows = supervisor.tree() if supervisor is not None else []
    if supervisor is None or name not in {row.name for row in rows}:
        return {"verdict": "unknown"}
    if args.get("look"):
        return {"verdict": "good"}
    try:
        supervisor.ask_restart(name)
    except NoSuchActor:
        return {"verdict": "leaving"}
    return {"verdict": "good"}
