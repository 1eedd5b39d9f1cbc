"""The lease of an external worker: its token, and whether who brings it back may use it.

The token is the fence and a secret. The store keeps a digest of secret and subject as the owner's
name, so a stranger's guess, a stolen token and one of a lease that has passed on are all worth
nothing. No lock file can have such a name: nobody thinks that its owner lives or is dead, and the
end of the lease alone frees the task.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING

import msgspec

from taskhub.errors import Problem
from taskhub.http.call import Call
from taskhub.http.reading import in_time
from taskhub.kernel.clock import boot_id
from taskhub.model import Incarnation, Owner, Status, TaskId
from taskhub.ports import Held

if TYPE_CHECKING:
    from taskhub.http.auth import Principal

MARK = "~"
"""Stands before the digest: what begins so names no file."""


class LeaseOver(Problem):
    """The lease is over: the task is somebody else's by now, or has ended. Drop the work."""

    status = 409
    code = "lease-over"


class Secret(msgspec.Struct, frozen=True):
    """What one claim hands out beside the tasks: who it is for, as the store knows them."""

    text: str
    owner: Owner

    def token(self, fence: int) -> str:
        """The token of one of its leases."""
        return f"{fence}.{self.text}"


def new_secret(who: Principal, worker: str) -> Secret:
    """A secret that nobody has seen, for this worker of this principal."""
    text = secrets.token_urlsafe(16)
    nonce = f"{MARK}{_digest(who, text)}"
    return Secret(text, Incarnation(boot_id(), f"ext:{worker}", nonce).owner)


async def own(call: Call, id_: TaskId, token: str) -> Held | None:
    """The task, if the token's lease is in force and was given to who asks; else None."""
    fence, _, secret = token.partition(".")
    held = await in_time(call.context.store.held(id_))
    if held is None or held.fence != int(fence) or held.owner is None:
        return None
    theirs = f"/{MARK}{_digest(call.principal, secret)}"
    is_theirs = compare_digest(held.owner.encode()[-len(theirs) :], theirs.encode())
    return held if is_theirs and held.item.status is Status.PROCESSING else None


async def mine(call: Call, id_: TaskId, token: str) -> Held:
    """The same; raises LeaseOver."""
    held = await own(call, id_, token)
    if held is None:
        raise LeaseOver
    return held


def seconds_run(held: Held) -> float:
    """How long the attempt has been in the worker's hands."""
    started = held.item.started_at
    return 0.0 if started is None else max(0.0, (datetime.now(UTC) - started).total_seconds())


def _digest(who: Principal, secret: str) -> str:
    return blake2b(f"{secret} {who.key}".encode(), digest_size=16).hexdigest()
