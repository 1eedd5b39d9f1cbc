"""How much is measured: the whole in a few minutes, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the runs; seconds where nothing else is said."""

    rounds: int
    post: int
    connections: tuple[int, ...]
    end_to_end: int
    """Tasks posted until all are Done."""
    drained: int
    """Tasks stored and then drained by one worker."""
    samples: int
    """Tasks whose latency is taken."""
    idle: float
    takeovers: int
    stack_post: int
    stack_end_to_end: int
    arq_drained: int


WHOLE = Plan(
    rounds=3,
    post=3,
    connections=(1, 16, 64),
    end_to_end=10_000,
    drained=20_000,
    samples=300,
    idle=10.0,
    takeovers=5,
    stack_post=4,
    stack_end_to_end=1_500,
    arq_drained=4_000,
)
QUICK = Plan(
    rounds=1,
    post=2,
    connections=(1, 64),
    end_to_end=10_000,
    drained=20_000,
    samples=60,
    idle=3.0,
    takeovers=1,
    stack_post=2,
    stack_end_to_end=400,
    arq_drained=1_500,
)
