"""`[log_levels]`: names that somebody may have, words that are levels, a section like others."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskhub.config.diff import changes
from taskhub.config.levels import rules
from taskhub.config.load import load
from taskhub.config.sections import UNITS
from taskhub.config.snapshot import decode, encode
from taskhub.errors import ConfigError

GOOD = ("pool", "api", "events-server", "tree", "worker-1", "worker-12", "all", "worker-2/pool")
BAD = {
    "pol": "; did you mean pool?",
    "wroker-1": "; did you mean worker?",
    "wroker-1/pool": "; did you mean worker?",
    "worker-1/": "",
    "/pool": "",
    "worker-0": "",
    "Pool": "; did you mean pool?",
    "a/b/pool": "",
}


@pytest.mark.parametrize("name", GOOD)
def test_actors_and_processes_have_levels(name: str) -> None:
    """Alone, or one in the other; more of a unit may run than the file says."""
    assert list(rules({name: "debug"}, UNITS)) == []


@pytest.mark.parametrize(("name", "hint"), BAD.items())
def test_a_name_that_nobody_has_is_a_mistake(name: str, hint: str) -> None:
    """Else a slip would be silence."""
    ((key, said),) = rules({name: "debug"}, UNITS)

    assert key == f"log_levels.{name}"
    assert said.startswith("expected ")
    assert said.endswith(hint)


def test_levels_come_from_file_and_environment_and_change_in_place(folder: Path) -> None:
    """The difference names each of them, and children get them."""
    path = folder / "supervisor.toml"
    path.write_text('[log_levels]\npool = "debug"\n"worker-2/pool" = "error"\n', encoding="utf-8")
    before = load(path, {}).config

    after = load(path, {"LogLevels__Pool": "Warning", "LogLevels__EVENTS_SERVER": "info"}).config

    assert before.log_levels == {"pool": "debug", "worker-2/pool": "error"}
    assert decode(encode(after)) == after
    assert [str(change) for change in changes(before, after)] == [
        "log_levels.pool: debug -> warning (in-place)",
        "log_levels.events-server: (none) -> info (in-place)",
    ]


def test_what_is_no_level_is_named_with_its_line(folder: Path) -> None:
    """And so is the name, at the same time."""
    path = folder / "supervisor.toml"
    path.write_text('[log_levels]\npool = "loud"\npol = "debug"\n', encoding="utf-8")

    with pytest.raises(ConfigError) as wrong:
        load(path, {})

    first, second = sorted(problem.detail for problem in wrong.value.problems)
    assert first.startswith("supervisor.toml:2: log_levels.pool: expected one of debug, info")
    assert second.startswith("supervisor.toml:3: log_levels.pol: expected an actor")
