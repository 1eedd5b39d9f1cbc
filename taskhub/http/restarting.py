"""`POST /actors/{name}/restart`: has one actor stopped and started; waits for neither."""

from __future__ import annotations

import msgspec

from taskhub.errors import Busy, Conflict, NotFound
from taskhub.http.answers import Answer
from taskhub.http.auditing import mark, tell
from taskhub.http.call import Call
from taskhub.http.context import Verdict
from taskhub.http.queries import no_query

_encode = msgspec.json.Encoder().encode


class RestartAsked(msgspec.Struct, frozen=True):
    """The actor that was told to stop and to start anew."""

    name: str


class Away(Busy):
    """The process of this actor does not answer. It can be restarted as a whole."""

    code = "process-away"


async def restart(call: Call) -> Answer:
    """Ask for it (202); the mark in the audit log is on disk before anything is stopped."""
    no_query(call.request)
    name = call.request.match_info["name"]
    _refuse(await call.context.restarts.look(name))
    act = f"restart {name}"
    await call.put(mark(call, act))
    _refuse(await call.context.restarts.ask(name))
    tell(call, act)
    return Answer(202, _encode(RestartAsked(name)))


def _refuse(verdict: Verdict) -> None:
    match verdict:
        case "unknown":
            raise NotFound("There is no such actor; GET /actors lists them by their full names.")
        case "leaving":
            raise Conflict("The actor has ended or is being stopped.")
        case "away":
            raise Away
        case "good":
            return
