"""How an external worker ends an attempt: once, however often it says so."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256

import msgspec
from msgspec import UNSET

from taskhub.backoff import Backoff
from taskhub.errors import FieldError, Invalid
from taskhub.failures import cause_of
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.external import bodies
from taskhub.http.external.leases import LeaseOver, own, seconds_run
from taskhub.http.queries import no_query
from taskhub.http.reading import in_time
from taskhub.http.showing import task_id
from taskhub.keys import IdempotencyKey, Told
from taskhub.model import Fail, Retry, Status, TaskId
from taskhub.obs.attempts import End, tell_end
from taskhub.obs.telemetry import StaleFinish
from taskhub.policy import Settled, Tries, cleaned, result_until, settle
from taskhub.ports import Finish, Finished, Held, Refused, Result

OK = 200
BESIDE = 16_384
"""Bytes of a body beside its result: one of the largest size has to fit in, whatever `max_body`
says."""
Settling = Callable[[Held], Settled]

_RANDOM = random.SystemRandom()
_encode = msgspec.json.Encoder().encode
_result_of = msgspec.json.Decoder(bodies.ResultOf).decode


class Ending(msgspec.Struct, frozen=True):
    """What is said of which attempt; `key` finds what was answered when it is said again."""

    id: TaskId
    lease: str
    key: IdempotencyKey


async def complete(call: Call) -> Answer:
    """End a task as Done; said again in the same words, the answer is the same."""
    no_query(call.request)
    limit = call.context.settings().work.max_result
    id_, body = task_id(call), await call.json_body(limit + BESIDE)
    done = await bodies.read(body, bodies.Completion)
    result = None if done.result is None else bytes(_result_of(body).result)
    if result is not None and len(result) > limit:
        raise Invalid([FieldError("/result", f"at most {limit:,} bytes of JSON")])
    ending = Ending(id_, done.lease, _key(call, id_, b"complete\n" + body))
    return await _end(call, ending, lambda _: Settled(Status.DONE), result=result)


async def fail(call: Call) -> Answer:
    """End an attempt that has failed: the task comes again, or ends as Failed."""
    no_query(call.request)
    id_, body = task_id(call), await call.json_body()
    failure = await bodies.read(body, bodies.Failure)

    def settled(held: Held) -> Settled:
        error = cleaned(failure.error)
        again = Retry(error, in_seconds=failure.retry_in_seconds)
        item = held.item
        tries = Tries(item.attempts, item.max_attempts, item.backoff or Backoff())
        return settle(Fail(error) if failure.final else again, tries, datetime.now(UTC), _RANDOM)

    ending = Ending(id_, failure.lease, _key(call, id_, b"fail\n" + body))
    return await _end(call, ending, settled, exception=failure.exception)


def _key(call: Call, id_: TaskId, said: bytes) -> IdempotencyKey:
    """A name that no Idempotency-Key of a client can have; the lease is in what was said."""
    hours = call.context.settings().retention.keys_hours
    hashed = sha256(said).hexdigest()
    return IdempotencyKey(
        principal=call.principal.key,
        key=f"\tended {id_} {hashed}",
        request_hash=hashed,
        answer=partial(_told, id_),
        expires_at=datetime.now(UTC) + timedelta(hours=hours),
    )


async def _end(
    call: Call,
    ending: Ending,
    settling: Settling,
    *,
    result: bytes | None = None,
    exception: str | None = None,
) -> Answer:
    held = await own(call, ending.id, ending.lease)
    if held is None:
        return await _again(call, ending)
    settled = settling(held)
    cause = cause_of(held.item.type, exception) if exception else None
    write = Finish(
        id=ending.id,
        fence=held.fence,
        status=settled.status,
        result=result,
        result_until=None if result is None else _kept_until(call, held.item.type),
        error=settled.error,
        run_at=settled.run_at,
        cause=cause,
        key=ending.key,
    )
    (stored,) = await call.put(write)
    if isinstance(stored, Refused):
        raise Invalid([FieldError("", "the database cannot store this outcome")])
    if not isinstance(stored, Finished):
        return await _again(call, ending)
    mark = "" if cause is None else cause.fingerprint
    end = End(stored.status, seconds_run(held), settled.error, mark, settled.run_at)
    tell_end(call.context.emit, held.item, end)
    return Answer(OK, _outcome(ending.id, stored.status))


def _kept_until(call: Call, kind: str) -> datetime | None:
    known = call.context.types.get(kind)
    own = UNSET if known is None else known.defaults.keep_result_seconds
    return result_until(own, call.context.settings().retention.results_days, datetime.now(UTC))


async def _again(call: Call, ending: Ending) -> Answer:
    """What was answered when this was said before; raises LeaseOver when it never was."""
    key = ending.key
    kept = await in_time(call.context.store.kept(key.principal, key.key))
    if kept is not None:
        return Answer(kept.answer.status, kept.answer.body)
    call.context.emit(StaleFinish(task_id=ending.id, attempt=0))  # which one, nobody knows any more
    raise LeaseOver


def _told(id_: TaskId, result: Result) -> Told | None:
    """The answer to keep: whoever says the same again gets it."""
    return Told(OK, _outcome(id_, result.status)) if isinstance(result, Finished) else None


def _outcome(id_: TaskId, status: Status) -> bytes:
    return _encode(bodies.Outcome(id_, status.value))
