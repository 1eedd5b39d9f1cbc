"""What becomes of a run while the one before has not ended."""

from __future__ import annotations

import pytest
from taskhub.model import Status
from taskhub.schedules.overlapping import Verdict, judge
from taskhub.schedules.schedule import WAITING_MOST, Overlap, Reason, RunOutcome

FIRED, WAITING, SKIPPED = RunOutcome.FIRED, RunOutcome.WAITING, RunOutcome.SKIPPED
QUEUED, RUNS = Status.PENDING, Status.PROCESSING


@pytest.mark.parametrize("overlap", Overlap)
def test_alone_it_runs(overlap: Overlap) -> None:
    """Nothing before it runs, nothing waits."""
    assert judge(overlap, previous=None, waiting=0) == Verdict(FIRED)


@pytest.mark.parametrize(
    ("overlap", "previous", "waiting", "verdict"),
    [
        (Overlap.SKIP, RUNS, 0, Verdict(SKIPPED, Reason.OVERLAP)),
        (Overlap.SKIP, QUEUED, 0, Verdict(SKIPPED, Reason.OVERLAP)),
        (Overlap.SKIP, None, 1, Verdict(SKIPPED, Reason.OVERLAP)),
        (Overlap.QUEUE, RUNS, 0, Verdict(WAITING)),
        (Overlap.QUEUE, QUEUED, WAITING_MOST - 1, Verdict(WAITING)),
        (Overlap.QUEUE, RUNS, WAITING_MOST, Verdict(SKIPPED, Reason.FULL)),
        (Overlap.QUEUE, None, 1, Verdict(WAITING)),
        (Overlap.CANCEL, RUNS, 0, Verdict(WAITING, cancels=True)),
        (Overlap.CANCEL, QUEUED, 0, Verdict(FIRED, cancels=True)),
        (Overlap.CANCEL, RUNS, 1, Verdict(WAITING, cancels=True, supersedes=True)),
        (Overlap.CANCEL, None, 1, Verdict(FIRED, supersedes=True)),
    ],
)
def test_behind_others_its_policy_decides(
    overlap: Overlap, previous: Status | None, waiting: int, verdict: Verdict
) -> None:
    """Never two at once, and never more in the row than there is room for."""
    assert judge(overlap, previous=previous, waiting=waiting) == verdict
