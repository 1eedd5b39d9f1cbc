"""Reads `[policies]`: which scopes and roles open a route; it knows names, no rights of anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

ROUTES = (
    "createTask",
    "listTasks",
    "getTask",
    "cancelTask",
    "retryTask",
    "cancelTasks",
    "retryTasks",
    "deleteTasks",
    "listFailures",
    "taskAttempts",
    "explainTask",
    "listQueues",
    "pauseQueue",
    "resumeQueue",
    "drainQueue",
    "pauseType",
    "resumeType",
    "drainType",
    "followEvents",
    "taskEvents",
    "listTypes",
    "getType",
    "forgetType",
    "registerTypes",
    "claimWork",
    "renewWork",
    "reportWork",
    "completeWork",
    "failWork",
    "giveBackWork",
    "listSchedules",
    "createSchedule",
    "getSchedule",
    "putSchedule",
    "deleteSchedule",
    "listRuns",
    "pauseSchedule",
    "resumeSchedule",
    "runSchedule",
    "explainCron",
    "listActors",
    "restartActor",
    "listAudit",
)
"""Every route that asks who calls, as the route table names it."""

OWNABLE = frozenset(
    {"getTask", "cancelTask", "retryTask", "explainTask", "taskEvents", "taskAttempts"}
)
"""Routes of one task, where a grant may be for one's own tasks alone."""

OWN = "own"
LIMIT = 32
"""Grants of one route."""

SHOWN = 60
"""Characters of a wrong grant that a message repeats."""

GRANT = "scope:NAME or role:NAME"
_GRANT = re.compile(
    r"(?:(?P<own>own) +)?"
    r"(?:(?P<kind>scope):(?P<scope>[\x21\x23-\x5b\x5d-\x7e]{1,255})"  # RFC 6749, 3.3
    r"|role:(?P<role>[^\x00-\x20\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,253}[^\x00-\x20\x7f-\x9f])?))"
)

Policies = Mapping[str, Sequence[str]]


class Grant(msgspec.Struct, frozen=True):
    """Holders of the scope, or of the role, may; `own`: with what they have made themselves."""

    name: str
    is_scope: bool
    own: bool = False


def grant(text: str) -> Grant:
    """What `scope:tasks.read`, `role:Admin` or `own scope:tasks.write` means; raises ValueError."""
    found = _GRANT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    is_scope = found["kind"] is not None
    name = found["scope"] if is_scope else found["role"]
    return Grant(name, is_scope=is_scope, own=found["own"] is not None)


def rules(policies: Policies) -> Iterator[tuple[str, str]]:
    """What is wrong: the key, and what was expected; no policy may lock everybody out by a slip."""
    for route, texts in policies.items():
        key = f"policies.{route}"
        if not texts:
            yield key, f"expected at least one of {GRANT}: an empty policy would let nobody in"
        if len(texts) > LIMIT:
            yield key, f"expected at most {LIMIT} grants"
        yield from ((key, wrong) for text in texts if (wrong := _wrong(route, text)))


def _wrong(route: str, text: str) -> str:
    try:
        found = grant(text)
    except ValueError:
        return f"expected {GRANT}, not {text[:SHOWN]!a}{_hint(text)}"
    if found.own and route not in OWNABLE:
        return f"own is for routes of one task ({', '.join(sorted(OWNABLE))})"
    return ""


def _hint(text: str) -> str:
    """A bare name is the usual slip."""
    bare = text.strip()
    fits = bare.isascii() and bare.replace(".", "").replace("_", "").isalnum()
    return f"; did you mean scope:{bare} or role:{bare}?" if fits and len(bare) < SHOWN else ""
