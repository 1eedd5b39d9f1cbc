"""A restart finds its actor in whatever process it is, and says what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from taskhub.app.forest import Forest
from taskhub.app.restarts import Restarts, asked_restart
from taskhub.kernel.actor import ChildSpec, Context
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.pulse import Pulse
from taskhub.kernel.supervisor import Supervisor

from tests.unit.app.household import Household
from tests.waiting import until


class Idle:
    """An actor that waits for its end."""

    async def run(self, ctx: Context) -> None:
        ctx.ready()
        await ctx.stopping.wait()


@asynccontextmanager
async def supervised(house: Household) -> AsyncIterator[Supervisor]:
    """The household's own actors at work: `tree/store`, and what stands for a process."""
    supervisor = Supervisor([ChildSpec("store", Idle), ChildSpec("worker-1", Idle)])
    ctx = Context(house.process.name)
    task = asyncio.create_task(supervisor.run(ctx))
    await ctx.is_ready.wait()
    house.process.supervisor = supervisor
    try:
        yield supervisor
    finally:
        ctx.stopping.set()
        await task


class Remote:
    """A child's side of the verb: it notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def verb(self, args: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(args)
        return {"verdict": "good"}


def restarts_of(supervisor: Supervisor) -> dict[str, int]:
    """How often each actor was started anew."""
    return {row.name: row.restarts for row in supervisor.tree()}


async def test_an_actor_of_ones_own_is_restarted_and_a_look_does_nothing(house: Household) -> None:
    """An API that stands alone, or one in the root."""
    async with supervised(house) as supervisor:
        restarts = Restarts(house.process)

        assert await restarts.look("tree/store") == "good"
        assert restarts_of(supervisor) == {"tree/store": 0, "tree/worker-1": 0}
        assert await restarts.ask("tree/store") == "good"
        await until(lambda: restarts_of(supervisor)["tree/store"] == 1, 10, "no restart")
        assert restarts_of(supervisor)["tree/worker-1"] == 0


@pytest.mark.parametrize("name", ["store", "tree", "tree/", "", "worker-2/pool", "tree/store/x"])
async def test_only_a_full_name_is_known(house: Household, name: str) -> None:
    """`store` would be one of three."""
    async with supervised(house):
        assert await Restarts(house.process).ask(name) == "unknown"


async def test_the_root_hands_it_to_the_process_of_the_name(house: Household) -> None:
    """What it is asked comes whole; its own actors, and children as a whole, it restarts itself."""
    remote = Remote()
    async with supervised(house) as supervisor, house.child("worker-1", ask_restart=remote.verb):
        house.process.forest = Forest(house.process, house.kin)
        restarts = Restarts(house.process)

        assert await restarts.look("worker-1/pool") == "good"
        assert await restarts.ask("worker-1/pool") == "good"
        assert await restarts.ask("tree/worker-1") == "good"
        await until(lambda: restarts_of(supervisor)["tree/worker-1"] == 1, 10, "no restart")

    assert remote.asked == [{"name": "worker-1/pool", "look": True}, {"name": "worker-1/pool"}]


async def test_a_child_asks_its_parent(house: Household) -> None:
    """The API's process knows nobody but the root."""
    parent = Remote()
    keeper = Keeper(
        house.process.runtime / "parent.sock",
        Pulse(),
        verbs={"ask-restart-anywhere": parent.verb},
    )
    keeper.start(asyncio.get_running_loop())
    try:
        house.process.parent = keeper.path
        assert await Restarts(house.process).ask("tree/store") == "good"
    finally:
        keeper.close()

    assert parent.asked == [{"name": "tree/store"}]


async def test_who_does_not_answer_is_away(house: Household) -> None:
    """The parent, or the child that the name belongs to."""
    house.process.forest = Forest(house.process, house.kin)
    house.kin.sockets["worker-1"] = house.process.runtime / "nobody.sock"
    assert await Restarts(house.process).look("worker-1/pool") == "away"

    house.process.parent = house.process.runtime / "nobody.sock"
    assert await Restarts(house.process).look("tree/store") == "away"


async def test_what_is_being_stopped_is_not_started_again(house: Household) -> None:
    """A restart must not undo a stop."""
    async with supervised(house) as supervisor:
        pass

    assert await asked_restart(supervisor, {"name": "tree/store"}) == {"verdict": "leaving"}
    assert await asked_restart(None, {"name": "tree/store"}) == {"verdict": "unknown"}
