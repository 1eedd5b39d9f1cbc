"""A worker's own parts: its proof of life, its ledger, and times that follow a reload."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from taskhub.app.specs import SPECS, spec_of
from taskhub.app.working import SPARE, pool_spec, reaper_spec
from taskhub.config.units import ACTORS
from taskhub.messages import Wake
from taskhub.model import Lease
from taskhub.work.attempt import Attempt
from taskhub.work.incarnation import ledger_file, lock_file

from tests.actors.workshop import running, task
from tests.unit.app.household import Household, replaced
from tests.waiting import until


def files(house: Household) -> list[Path]:
    """The lock and the ledger of this incarnation, as far as they are there."""
    owner, runtime = house.process.owner, house.process.runtime
    wanted = (lock_file(runtime, owner), ledger_file(runtime, owner))
    return [path for path in wanted if path is not None and path.exists()]


async def test_a_worker_that_ends_with_nothing_held_leaves_no_file(house: Household) -> None:
    """Nobody need take over from it."""
    pool_spec(house.process)
    assert len(files(house)) == 2

    house.process.stack.close()

    assert files(house) == []


async def test_a_worker_that_ends_with_leases_keeps_its_lock_until_it_is_dead(
    house: Household,
) -> None:
    """A thread of it may still run: others act when the kernel says that it is gone."""
    pool_spec(house.process)
    assert house.process.holdings is not None
    house.process.holdings.take_in(Attempt(Lease(item=task(), fence=1)))

    house.process.stack.close()

    assert len(files(house)) == 2


async def test_a_pool_s_time_to_stop_follows_a_reload(house: Household) -> None:
    """A longer grace would else be cut by its supervisor."""
    spec = pool_spec(house.process)
    house.process.live.config = replaced(house.process.live.config, supervisor__grace=100.0)

    assert spec.stop_timeout + spec.grace() == 100.0 + SPARE


async def test_a_worker_s_bells_reach_those_who_want_them(house: Household) -> None:
    """`work` wakes the pool, `cancel` the reaper."""
    pool_spec(house.process)
    reaper_spec(house.process)
    boxes = house.process.boxes
    for kind, (pool, reaper) in {"cancel": (0, 1), "ended": (0, 1), "work": (1, 1)}.items():
        for heard in house.process.rings:
            heard(frozenset({kind}))
        assert (len(boxes.pool), len(boxes.reaper)) == (pool, reaper)
    assert await boxes.pool.take() == [Wake()]


def test_every_actor_that_a_unit_may_name_can_be_made() -> None:
    """One word in the file, in the tree, in the code."""
    assert set(SPECS) == set(ACTORS)


async def test_the_actors_of_a_worker_start_and_stop_together(
    house: Household, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put together as a unit names them, with the event server away."""
    shutil.copy(empty_database, house.folder / "tasks.db")
    names = list(house.loaded.config.units["worker"])
    house.process.entries = names
    await house.process.bus.open()
    async with running([spec_of(house.process, name) for name in names]) as stage:
        states = {row.name: row.state for row in stage.supervisor.tree()}
        assert states == dict.fromkeys(names, "ready")
        types = house.process.store.types
        await until(lambda: house.process.publishing.state == "degraded")
        assert {"fail", "simulate", "transform"} <= {info.name for info in await types()}
    await house.process.bus.close()
