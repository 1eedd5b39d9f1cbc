"""What the locks and ledgers of other processes on this host tell about them."""

from __future__ import annotations

from pathlib import Path

from taskhub.kernel.clock import boot_id
from taskhub.model import Incarnation, Owner, TaskId
from taskhub.work.incarnation import Standing, ledger_file, lock_file, standing_of
from taskhub.work.ledger import read_ledger


def probe(runtime: Path, owner: Owner, own: Owner | None = None) -> Standing:
    """Does this owner live? `own` is who asks: about itself it knows, and must not look.

    Raises nothing: what cannot be read is `unknown`, and then the lease's own end decides.
    """
    if owner == own:
        return Standing.HELD
    lock = lock_file(runtime, owner)
    if lock is None or Incarnation.parse(owner).host != boot_id():
        return Standing.UNKNOWN
    return standing_of(lock)


def started(runtime: Path, owner: Owner) -> list[TaskId] | None:
    """The tasks whose handlers a dead owner had begun; None: nobody knows, so count all."""
    ledger = ledger_file(runtime, owner)
    return None if ledger is None else read_ledger(ledger)


def forget(runtime: Path, owner: Owner) -> None:
    """Take the files of a dead owner away, once its leases are taken over."""
    for path in (lock_file(runtime, owner), ledger_file(runtime, owner)):
        if path is not None:
            path.unlink(missing_ok=True)
