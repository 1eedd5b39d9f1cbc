"""What schemathesis' configuration cannot say, since it knows no members of bodies."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """A claim that is right waits for nobody: nobody else would make a task for it."""
    body = case.body
    if case.operation.path == "/work/claim" and isinstance(body, dict) and waits_well(body):
        case.body = {**body, "wait": 0.01}


def waits_well(body: dict[str, Any]) -> bool:
    """Whether the wait is one that would be waited."""
    wait = body.get("wait")
    return isinstance(wait, int | float) and not isinstance(wait, bool) and 0 < wait <= 60
