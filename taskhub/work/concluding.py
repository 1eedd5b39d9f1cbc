"""What is to be written about an attempt that has ended; it runs nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from taskhub.attempts import Ended, Lost, Released, StopReason, Stubborn
from taskhub.backoff import Backoff
from taskhub.failures import TIMED_OUT, Cause, cause_of
from taskhub.model import Cancel, Done, Outcome, Retry, Snooze, Status
from taskhub.policy import Tries, settle
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt


def conclude(attempt: Attempt, outcome: Outcome, backoff: Backoff, rng: Random) -> Ended:
    """What is to be written about an attempt that ended in `outcome`, stopped or not.

    What was done in spite of a stop counts, unless the lease is lost. `backoff` is the handler's:
    a rule for what was raised goes before it, and what the task's creator has said.
    """
    reason = attempt.reason
    if reason is None:
        return finish_of(attempt, outcome, backoff, rng)
    if reason is StopReason.LOST:
        return Stubborn(reason) if attempt.is_stubborn else Lost()
    if reason is StopReason.DRAIN and isinstance(outcome, Retry):
        return Stubborn(reason) if attempt.is_stubborn else Released()
    if reason is StopReason.CANCEL and not isinstance(outcome, Done):
        outcome = Cancel("cancelled while it ran")
    finish = finish_of(attempt, outcome, backoff, rng)
    return Stubborn(reason, finish) if attempt.is_stubborn else finish


def finish_of(attempt: Attempt, outcome: Outcome, backoff: Backoff, rng: Random) -> Finish:
    """The write for an outcome, by policy; a Done's result must be JSON by now."""
    lease = attempt.lease
    item = lease.item
    if isinstance(outcome, Done):
        return Finish(id=item.id, fence=lease.fence, status=Status.DONE, result=outcome.result)
    backoff = attempt.backoff or item.backoff or backoff
    tries = Tries(item.attempts, item.max_attempts, backoff)
    settled = settle(outcome, tries, datetime.now(UTC), rng)
    return Finish(
        id=item.id,
        fence=lease.fence,
        status=settled.status,
        error=settled.error,
        run_at=settled.run_at,
        refund=settled.refund,
        cause=_cause(attempt, outcome),
    )


def _cause(attempt: Attempt, outcome: Outcome) -> Cause | None:
    """What was raised; of an outcome that was returned, its name."""
    if isinstance(outcome, Snooze | Cancel):
        return None
    is_late = attempt.reason is StopReason.TIMEOUT
    name = TIMED_OUT if is_late else type(outcome).__name__
    return attempt.cause or cause_of(attempt.lease.item.type, name)
