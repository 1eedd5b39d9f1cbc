"""The keys under which tasks are made: who has asked before, and which task holds a unique key."""

from __future__ import annotations

from collections.abc import Sequence

from taskhub.keys import Existing, IdempotencyKey, KeyReused, Replayed, Told
from taskhub.model import TaskId, TaskItem, micros_from_utc
from taskhub.ports import Create, Created, Result
from taskhub.store.steps.batch import Batch
from taskhub.store.steps.following import Parents
from taskhub.store.steps.rows import Row, json, task_of

Answers = dict[tuple[str, str], tuple[str, Told]]
"""What is kept under a principal's key: the hash of the request, and the answer."""

Holders = dict[tuple[str, str], TaskItem]
"""Which task holds a type's key."""


def fresh(batch: Batch, group: Sequence[tuple[int, Create]]) -> list[tuple[int, Create]]:
    """The writes that make a task. The others get their results; all keys are kept."""
    parents = Parents(batch, [write for _, write in group])
    known = _known(batch, [write.key for _, write in group if write.key is not None])
    held = _held(batch, [write for _, write in group if write.unique is not None])
    new: list[tuple[int, Create]] = []
    kept: list[Row] = []
    for place, write in group:
        if (key := write.key) is not None and (name := (key.principal, key.key)) in known:
            batch.results[place] = _again(key, *known[name])
            continue
        if (refusal := parents.refusal(write)) is not None:
            batch.results[place] = refusal
            continue
        result = _met(write, held)
        parents.met(write.item, result.item)
        if key is not None and (row := _key_row(key, result.item.id, result)) is not None:
            known[name] = (key.request_hash, Told(*row[5:]))
            kept.append(row)
        if isinstance(result, Existing):
            batch.results[place] = result
        else:
            new.append((place, parents.settled(write)))
    batch.each("keep_key", kept)
    batch.each("hold_key", [_hold_row(write) for _, write in new if write.unique is not None])
    return new


def answered(batch: Batch, key: IdempotencyKey) -> Result | None:
    """What is answered to who has used this key before."""
    known = _known(batch, [key])
    return _again(key, *known[key.principal, key.key]) if known else None


def keep(batch: Batch, key: IdempotencyKey, task: TaskId | str, result: Result) -> None:
    """Remember what comes of the write that a key stands for; `task`: the first that it made."""
    row = _key_row(key, task, result)
    batch.each("keep_key", [] if row is None else [row])


def _met(write: Create, held: Holders) -> Created | Existing:
    """What becomes of a write, if nothing else is in its way; it may hold its key from now on."""
    if write.unique is None:
        return Created(write.item)
    holder = held.setdefault((write.item.type, write.unique.key), write.item)
    return Created(holder) if holder is write.item else Existing(holder)


def _known(batch: Batch, keyed: Sequence[IdempotencyKey]) -> Answers:
    if not keyed:
        return {}
    batch.transaction.alone([f"key {key.principal} {key.key}" for key in keyed])
    asked = json([(key.principal, key.key) for key in keyed])
    rows = batch.ask("known_keys", {"keys": asked, "now": batch.now.micros})
    return {(row[0], row[1]): (row[2], Told(*row[3:])) for row in rows}


def _held(batch: Batch, writes: Sequence[Create]) -> Holders:
    if not writes:
        return {}
    wanted = [(write.item.type, write.unique.key) for write in writes if write.unique is not None]
    batch.transaction.alone([f"unique {type_} {key}" for type_, key in wanted])
    asked = json(wanted)
    rows = batch.ask("holders", {"keys": asked, "now": batch.now.micros})
    ids = list({task for _, _, task in rows})
    found = batch.ask("get", {"ids": json(ids)}) if ids else []
    items = {row[0]: task_of(row) for row in found}
    return {(type_, key): items[task] for type_, key, task in rows}


def _again(key: IdempotencyKey, request_hash: str, answer: Told) -> Result:
    return Replayed(answer) if key.request_hash == request_hash else KeyReused()


def _key_row(key: IdempotencyKey, task: TaskId | str, result: Result) -> Row | None:
    """What the statement `keep_key` takes; None: there is nothing to keep."""
    told = key.answer if isinstance(key.answer, Told) else key.answer(result)
    if told is None:
        return None
    expires = micros_from_utc(key.expires_at)
    return key.principal, key.key, key.request_hash, task, expires, told.status, told.body


def _hold_row(write: Create) -> Row:
    """What the statement `hold_key` takes."""
    unique = write.unique
    assert unique is not None
    expires = None if unique.expires_at is None else micros_from_utc(unique.expires_at)
    return write.item.type, unique.key, write.item.id, expires, " ".join(unique.states)
