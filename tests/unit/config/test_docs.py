"""The documentation says what the program does: every key, its default, and whether it reloads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from taskhub.config.diff import How, how_to_change
from taskhub.config.keys import Key, keys
from taskhub.config.settings import shown
from taskhub.http.openapi import described
from taskhub.http.routes import ROUTES as TABLE

ROOT = Path(__file__).parents[3]
ROWS = {
    cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
    for line in (ROOT / "docs/configuration.md").read_text().splitlines()
    if re.match(r"\| `[a-z]+\.", line)
    for cells in [line.strip("|").split("|")]
}


@pytest.mark.parametrize("key", keys().values(), ids=lambda key: key.path)
def test_every_key_is_documented_with_its_default_and_its_reload(key: Key) -> None:
    """A table that is wrong is worse than none."""
    default, reloads, _ = ROWS[key.path]

    assert default.replace("`", "") == ("" if key.is_secret else shown(key, key.default))
    assert (reloads == "yes") == (how_to_change(key) is How.IN_PLACE)


def test_no_key_is_documented_that_there_is_not() -> None:
    """What is left in a table after a key has gone misleads."""
    assert set(ROWS) == set(keys())


GRANTS = {
    cells[0].strip("` "): re.findall(r"`([^`]+)`", cells[2])
    for line in (ROOT / "docs/authorization.md").read_text().splitlines()
    if re.match(r"\| `[a-zA-Z]+` \| `[A-Z]+ /", line)
    for cells in [line.strip("|").split("|")]
}


def test_the_policy_of_every_route_is_documented() -> None:
    """Whoever asks what a token may do reads the truth."""
    guarded = {each.policy or each.name: each.access for each in described(TABLE) if each.access}

    assert {name: list(access.grants) for name, access in guarded.items()} == GRANTS


def test_the_documented_paths_are_those_of_the_routes() -> None:
    """The name alone helps nobody who has a URL."""
    text = (ROOT / "docs/authorization.md").read_text()

    for route in described(TABLE):
        if route.access is not None:
            row = rf"\| `{route.policy or route.name}` \|.*`{route.method} {re.escape(route.path)}`"
            assert re.search(row, text), route.path
