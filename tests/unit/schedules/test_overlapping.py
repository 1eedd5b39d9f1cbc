"""What becomes of a run while the one before has not ended."""

from __future__ import annotations

import pytest
from taskhub.schedules.overlapping import Verdict, judge
from taskhub.schedules.schedule import WAITING_MOST, Outcome, Overlap, Reason

FIRED, WAITING, SKIPPED = Outcome.FIRED, Outcome.WAITING, Outcome.SKIPPED


@pytest.mark.parametrize("overlap", Overlap)
def test_alone_it_runs(overlap: Overlap) -> None:
    """Nothing before it runs, nothing waits."""
    assert judge(overlap, is_running=False, waiting=0) == Verdict(FIRED)


@pytest.mark.parametrize(
    ("overlap", "is_running", "waiting", "verdict"),
    [
        (Overlap.SKIP, True, 0, Verdict(SKIPPED, Reason.OVERLAP)),
        (Overlap.SKIP, False, 1, Verdict(SKIPPED, Reason.OVERLAP)),
        (Overlap.QUEUE, True, 0, Verdict(WAITING)),
        (Overlap.QUEUE, True, WAITING_MOST - 1, Verdict(WAITING)),
        (Overlap.QUEUE, True, WAITING_MOST, Verdict(SKIPPED, Reason.FULL)),
        (Overlap.QUEUE, False, 1, Verdict(WAITING)),
        (Overlap.CANCEL, True, 0, Verdict(WAITING, cancels=True)),
        (Overlap.CANCEL, True, 1, Verdict(WAITING, cancels=True, supersedes=True)),
        (Overlap.CANCEL, False, 1, Verdict(WAITING, supersedes=True)),
    ],
)
def test_behind_others_its_policy_decides(
    overlap: Overlap,
    is_running: bool,
    waiting: int,
    verdict: Verdict,
) -> None:
    """Never two at once, and never more in the row than there is room for."""
    assert judge(overlap, is_running=is_running, waiting=waiting) == verdict
