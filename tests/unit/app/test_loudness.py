"""One actor louder or quieter while it runs: here, in the children, and until the next reload."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.app.loudness import Loudness
from taskhub.app.reload import Follow, Reload
from taskhub.config.snapshot import decode
from taskhub.kernel.call import Refused
from taskhub.obs.telemetry import Level, LogLevelChanged

from tests.unit.app.household import Household

Answer = dict[str, Any]


class Worker:
    """A child that has a pool, and the levels that it was told."""

    def __init__(self) -> None:
        self.levels: dict[str, str] | None = None

    async def tree(self, _: Answer) -> Answer:
        return {"actors": [{"name": "worker-1/pool"}]}

    async def told(self, args: Answer) -> Answer:
        self.levels = args["levels"]
        return {"applied": True}

    async def fine(self, _: Answer) -> Answer:
        return {"applied": True}

    def verbs(self) -> Answer:
        fine = {"reload_prepare": self.fine, "reload_apply": self.fine}
        return {"tree": self.tree, "loglevel_told": self.told, **fine}


@pytest.fixture
def reload(house: Household) -> Reload:
    """The root's reload."""
    return Reload(house.process, house.kin, house.loaded, "tree")


@pytest.fixture
def loudness(house: Household, reload: Reload) -> Loudness:
    """The root's side."""
    return Loudness(house.process, house.kin, reload)


@pytest.mark.parametrize("name", ["pool", "worker-1", "worker-1/pool"])
async def test_a_level_is_in_force_everywhere_and_for_later_children(
    house: Household, loudness: Loudness, name: str
) -> None:
    """Here, in each child, and in what a child is told that is born later."""
    worker = Worker()
    async with house.child("worker-1", **worker.verbs()):
        assert await loudness.verb({"name": name, "level": "debug"}) == {"known": True}

    assert worker.levels == {name: "debug"}
    assert house.process.log.listener.levels.least("worker-1/pool") is Level.DEBUG
    told = decode(house.kin.config_for("worker", house.process.live.config))
    assert told.log_levels == {name: "debug"}
    assert house.said(LogLevelChanged)[0].to == "debug"


async def test_it_lasts_until_the_next_reload_which_names_it(
    house: Household, loudness: Loudness, reload: Reload
) -> None:
    """A forgotten debug level ends with the next change; a dry run says so."""
    async with house.child("worker-1", **Worker().verbs()):
        house.write('[log_levels]\npool = "warning"\n')
        await reload.run()
        await loudness.verb({"name": "pool", "level": "debug"})
        await loudness.verb({"name": "worker-1", "level": "error"})
        assert len((await reload.check_verb({}))["changes"]) == 2
        answer = await reload.run()

    assert answer["changes"] == [
        "log_levels.pool: debug -> warning (in-place)",
        "log_levels.worker-1: error -> (none) (in-place)",
    ]
    assert house.process.live.config.log_levels == {"pool": "warning"}


async def test_it_is_taken_back_to_what_is_configured(
    house: Household, loudness: Loudness, reload: Reload
) -> None:
    """Then a reload finds nothing to do."""
    async with house.child("worker-1", **Worker().verbs()):
        house.write('[log_levels]\npool = "warning"\n')
        await reload.run()
        for name in ("pool", "worker-1/pool"):
            await loudness.verb({"name": name, "level": "debug"})
            await loudness.verb({"name": name, "level": ""})
        answer = await reload.run()

    assert answer["changes"] == []
    assert house.process.live.config.log_levels == {"pool": "warning"}


async def test_nobodys_name_and_no_level_change_nothing(
    house: Household, loudness: Loudness
) -> None:
    """Whoever asks over the socket is told why."""
    async with house.child("worker-1", **Worker().verbs()):
        assert await loudness.verb({"name": "pol", "level": "debug"}) == {"known": False}
        with pytest.raises(Refused, match="expected debug, info"):
            await loudness.verb({"name": "pool", "level": "loud"})

    assert house.process.live.config.log_levels == {}
    assert house.told == []


async def test_a_child_does_as_it_is_told(house: Household) -> None:
    """At once, and for what it is asked later."""
    await Follow(house.process).level_verb({"levels": {"pool": "error"}})

    assert house.process.live.config.log_levels == {"pool": "error"}
    assert house.process.log.listener.levels.least("tree/pool") is Level.ERROR
