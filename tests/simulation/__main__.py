"""Lives through seeds: `python -m tests.simulation [--seeds N] [--from SEED] [--mutant NAME]`.

`python -m tests.simulation 417` replays one seed and prints its history, the same each time.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.mutants import MUTANTS, in_place
from tests.simulation.story import Verdict, play


def main() -> int:
    """0 when every invariant held in every seed."""
    asked = _arguments()
    if asked.seed is not None:
        return _replay(asked.seed, asked.mutant)
    began, bad = time.monotonic(), 0
    with in_place(asked.mutant) as ground:
        for seed in range(asked.first, asked.first + asked.seeds):
            verdict = play(seed, ground)
            if verdict.broken:
                bad += 1
                _say(failure(verdict, asked.mutant))
    _say(f"{asked.seeds} seeds in {time.monotonic() - began:.0f} s: {bad} broken")
    return bad > 0


def _replay(seed: int, mutant: str) -> int:
    with in_place(mutant) as ground:
        verdict = play(seed, ground)
    for at, *what in verdict.history:
        _say(f"{at:9.4f}  {' '.join(map(str, what))}")
    _say(f"seed {seed}, history {verdict.digest}: {verdict.broken or 'every invariant held'}")
    return bool(verdict.broken)


def failure(verdict: Verdict, mutant: str = "") -> str:
    """What is wrong, and how to see it again."""
    more = f" --mutant {mutant}" if mutant else ""
    return f"{verdict.broken}\n  replay: python -m tests.simulation {verdict.seed}{more}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, default=1_000, metavar="N")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS], help="make this mistake")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
