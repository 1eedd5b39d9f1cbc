"""Leases: keeping them, giving them back, and freeing what nobody holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from taskhub.failures import KEPT, LEASE_EXPIRED, WORKER_DIED
from taskhub.model import Owner, Status
from taskhub.ports import (
    Release,
    Renew,
    Renewed,
    Sweep,
    Swept,
    Takeover,
    Touched,
)
from taskhub.store.steps import following
from taskhub.store.steps.batch import ENDS, Batch
from taskhub.store.steps.rows import Row, json, saying


def renew(batch: Batch, group: Sequence[tuple[int, Renew]]) -> None:
    """Extend leases; what is no longer held is named."""
    for place, write in group:
        values = {"held": json(write.held), "until": batch.now.boottime + write.lease}
        rows = batch.ask("renew", values)
        kept = {key for key, _ in rows}
        lost = [key for key, _ in write.held if key not in kept]
        batch.results[place] = Renewed(lost, [key for key, cancel in rows if cancel])


def release(batch: Batch, group: Sequence[tuple[int, Release]]) -> None:
    """Give claimed tasks back as if they had never been claimed."""
    held = {tuple(held) for _, write in group for held in write.held}
    rows = batch.ask("release", {"held": json(list(held)), "now": batch.now.micros})
    freed = {(task, fence) for task, fence, _, _ in rows}
    for place, write in group:
        batch.results[place] = Touched(len(freed.intersection(map(tuple, write.held))))
    for end in ENDS:
        batch.tell_ends(end, [(row[0], row[3]) for row in rows if row[2] == end], {})


def takeover(batch: Batch, group: Sequence[tuple[int, Takeover]]) -> None:
    """Free what a dead owner held."""
    for place, write in group:
        started = None if write.started is None else json(write.started)
        rows = batch.ask("takeover", {"owner": write.owner, "started": started})
        batch.results[place] = _freed(batch, rows, DIED)


def sweep(batch: Batch, group: Sequence[tuple[int, Sweep]]) -> None:
    """Free expired leases, and say which of the sweeper's own tasks somebody wants cancelled.

    What has followed from ends and was too much for one transaction goes on.
    """
    for place, write in group:
        values = {
            "owner": write.owner,
            "boot": _host(write.owner),
            "held": json(write.held),
            "living": json(write.living),
            "lease": write.lease,
            "boottime": batch.now.boottime,
        }
        swept = _freed(batch, batch.ask("sweep", values), EXPIRED)
        cancel = batch.ask("cancels", {"owner": write.owner})
        batch.results[place] = Swept(
            swept.requeued, swept.failed, swept.cancelled, [key for (key,) in cancel]
        )
    following.take_up(batch)


DIED = {"error": "its worker died", "exception": WORKER_DIED, "suspect": 1}
EXPIRED = {"error": "lease expired", "exception": LEASE_EXPIRED, "suspect": 0}
"""What is said of attempts that nobody ended."""


def _freed(batch: Batch, rows: Sequence[Row], blame: Mapping[str, object]) -> Swept:
    """Free these leases, and tell and list what has become of their tasks."""
    if not rows:
        return Swept()
    values = {"rows": json(rows), "now": batch.now.micros, "kept": KEPT, **blame}
    batch.change("lost", values)
    freed = sorted(batch.ask("free", values), key=itemgetter(0))
    said = {row[0]: saying(row[3], row[4]) for row in freed if row[1] == Status.FAILED}
    for end in ENDS:
        batch.tell_ends(end, [(row[0], row[2]) for row in freed if row[1] == end], said)
    ended = (Status.PENDING, Status.FAILED, Status.CANCELLED)
    requeued, failed, cancelled = ([row[0] for row in freed if row[1] == end] for end in ended)
    return Swept(requeued, failed, cancelled)


def _host(owner: Owner) -> str:
    """The part of an owner's name that says which boot it belongs to, its slash included."""
    host, slash, _ = owner.partition("/")
    return host + slash
