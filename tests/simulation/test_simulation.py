"""The real actors on a virtual clock, through kills, stalls, lost, late and doubled events.

A failing seed prints the command that replays it; `python -m tests.simulation` lives through 1,000.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.__main__ import failure
from tests.simulation.mutants import MUTANTS, in_place
from tests.simulation.story import play
from tests.style.tree import ROOT

SEEDS, SHARES = 120, 2
ONCE_BROKEN = (190, 923)
"""A worker that was frozen for longer than a lease began what had only waited there."""
ENOUGH = 400
"""Seeds in which a mistake must show; most show in the first ten."""


@pytest.mark.parametrize("share", range(SHARES))
def test_every_invariant_holds_whatever_befalls_the_actors(share: int) -> None:
    """No accepted task is lost, no outcome overwritten, attempts end, fences grow, all tasks end,
    nobody runs beside somebody else, and who has lost a lease lets go.
    """
    with in_place("") as ground:
        verdicts = [play(seed, ground) for seed in range(share, SEEDS, SHARES)]

    assert [failure(verdict) for verdict in verdicts if verdict.broken] == []


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_what_a_seed_has_found_once_stays_mended(seed: int) -> None:
    """As above, for seeds past those that are lived through each time."""
    with in_place("") as ground:
        verdict = play(seed, ground)

    assert not verdict.broken, failure(verdict)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_guard_that_is_taken_away_is_missed_by_some_seed(name: str) -> None:
    """Else the simulation would be blind just there."""
    first = MUTANTS[name].first
    with in_place(name) as ground:
        verdicts = (play(seed, ground) for seed in range(first, first + ENOUGH))

        assert any(verdict.broken.startswith(MUTANTS[name].breaks) for verdict in verdicts)


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """Bit for bit, whatever the hash seed of Python is and wherever its objects lie."""
    with in_place("") as ground:
        here = [play(seed, ground).digest for seed in (7, 8)]

    there = [_replayed(seed, hashes) for seed, hashes in ((7, "1"), (8, "2"))]

    assert all(f"history {digest}:" in said for digest, said in zip(here, there, strict=True))


def _replayed(seed: int, hashes: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", str(seed)]
    env = os.environ | {"PYTHONHASHSEED": hashes}
    return subprocess.run(
        command, cwd=ROOT, env=env, check=True, capture_output=True, text=True
    ).stdout
