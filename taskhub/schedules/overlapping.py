"""What becomes of a run while the one before has not ended: a decision, no store."""

from __future__ import annotations

import msgspec

from taskhub.schedules.schedule import WAITING_MOST, Outcome, Overlap, Reason


class Verdict(msgspec.Struct, frozen=True):
    """What to do with the new run; before that, whether the one before is to be cancelled."""

    outcome: Outcome
    reason: Reason = Reason.NONE
    cancels: bool = False
    supersedes: bool = False
    """Runs that wait already are given up for it."""


def judge(overlap: Overlap, *, is_running: bool, waiting: int) -> Verdict:
    """What becomes of a run of a schedule one of whose runs has not ended, and others wait.

    A cancel may end the run before at once: then the new one need not wait for it.
    """
    if not is_running and not waiting:
        return Verdict(Outcome.FIRED)
    match overlap:
        case Overlap.SKIP:
            return Verdict(Outcome.SKIPPED, Reason.OVERLAP)
        case Overlap.QUEUE:
            full = waiting >= WAITING_MOST
            return Verdict(Outcome.SKIPPED, Reason.FULL) if full else Verdict(Outcome.WAITING)
        case Overlap.CANCEL:
            return Verdict(Outcome.WAITING, cancels=is_running, supersedes=waiting > 0)
