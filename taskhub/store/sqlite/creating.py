"""New tasks, and the keys that make asking twice harmless."""

from __future__ import annotations

from collections.abc import Sequence

from taskhub.model import EventType, micros_from_utc
from taskhub.ports import (
    Create,
    Created,
    Forward,
    IdempotencyKey,
    KeyReused,
    Replayed,
    Result,
    Stale,
    Touched,
)
from taskhub.store.sqlite.batch import Batch
from taskhub.store.sqlite.rows import json, new_row

Answers = dict[tuple[str, str], tuple[str, bytes]]


def create(batch: Batch, group: Sequence[tuple[int, Create]]) -> None:
    """Store every task whose key is new (or that has none); one key makes one task."""
    keyed = [write.key for _, write in group if write.key is not None]
    fresh = _fresh(batch, group, keyed) if keyed else group
    items = [write.item for _, write in fresh]
    rows = [new_row(write.item, write.trace_parent) for _, write in fresh]
    batch.statements.create.run(batch.connection, rows)
    batch.results.update((place, Created(write.item)) for place, write in fresh)
    batch.tell(EventType.CREATED, [(item.id, item.title) for item in items])


def forward(batch: Batch, group: Sequence[tuple[int, Forward]]) -> None:
    """Move cursors from where they are thought to be, and make the tasks only where they moved."""
    for place, write in group:
        statement = "follow" if write.after is None else "forward"
        values = {"name": write.webhook, "after": write.after, "through": write.through}
        if not batch.change(statement, values):
            batch.results[place] = Stale()
            continue
        rows = [new_row(item, None) for item in write.items]
        batch.statements.create.run(batch.connection, rows)
        batch.tell(EventType.CREATED, [(item.id, item.title) for item in write.items])
        batch.results[place] = Touched(len(rows))


def _fresh(
    batch: Batch, group: Sequence[tuple[int, Create]], keyed: Sequence[IdempotencyKey]
) -> list[tuple[int, Create]]:
    """Answer the writes whose key is known and keep the keys of the others."""
    known = _known(batch, keyed)
    fresh, kept = [], []
    for place, write in group:
        if write.key is not None:
            name = (write.key.principal, write.key.key)
            if name in known:
                batch.results[place] = _again(write.key, *known[name])
                continue
            known[name] = (write.key.request_hash, write.key.answer)
            kept.append(write)
        fresh.append((place, write))
    _keep(batch, kept)
    return fresh


def _known(batch: Batch, keyed: Sequence[IdempotencyKey]) -> Answers:
    asked = json([(key.principal, key.key) for key in keyed])
    rows = batch.ask("known_keys", {"keys": asked, "now": batch.now.micros})
    return {(principal, key): (hashed, answer) for principal, key, hashed, answer in rows}


def _again(key: IdempotencyKey, request_hash: str, answer: bytes) -> Result:
    return Replayed(answer) if key.request_hash == request_hash else KeyReused()


def _keep(batch: Batch, writes: Sequence[Create]) -> None:
    batch.each(
        "keep_key",
        [
            (
                key.principal,
                key.key,
                key.request_hash,
                write.item.id,
                micros_from_utc(key.expires_at),
                key.answer,
            )
            for write in writes
            if (key := write.key) is not None
        ],
    )
