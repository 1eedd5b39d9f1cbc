"""What becomes of a run while the one before has not ended: a decision, no store."""

from __future__ import annotations

import msgspec

from taskhub.model import Status
from taskhub.schedules.schedule import WAITING_MOST, Overlap, Reason, RunOutcome


class Verdict(msgspec.Struct, frozen=True):
    """What to do with the new run; before that, whether the one before is to be cancelled."""

    outcome: RunOutcome
    reason: Reason = Reason.NONE
    cancels: bool = False
    supersedes: bool = False
    """Runs that wait already are given up for it."""


def judge(overlap: Overlap, *, previous: Status | None, waiting: int) -> Verdict:
    """What becomes of a run; `previous` is the state of the one before, None: that has ended.

    One that has not begun ends with its cancel, so that the new run need not wait for it.
    """
    if previous is None and not waiting:
        return Verdict(RunOutcome.FIRED)
    match overlap:
        case Overlap.SKIP:
            return Verdict(RunOutcome.SKIPPED, Reason.OVERLAP)
        case Overlap.QUEUE:
            full = waiting >= WAITING_MOST
            return Verdict(RunOutcome.SKIPPED, Reason.FULL) if full else Verdict(RunOutcome.WAITING)
        case Overlap.CANCEL:
            outcome = RunOutcome.WAITING if previous is Status.PROCESSING else RunOutcome.FIRED
            return Verdict(outcome, cancels=previous is not None, supersedes=waiting > 0)
