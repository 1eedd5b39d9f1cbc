"""What machines ask: alive, ready, metrics, the API's own description; none of it needs a token."""

from __future__ import annotations

import msgspec

from taskhub.errors import Forbidden
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.clients import is_inside
from taskhub.http.context import PartHealth
from taskhub.obs.exposition import CLASSIC, OPENMETRICS

VARY = (("Vary", "Accept, Accept-Encoding"),)

_encode = msgspec.json.Encoder().encode


class Readiness(msgspec.Struct, frozen=True):
    """The answer of `GET /ready`: the worst state of all parts, and each part's own."""

    status: str
    parts: list[PartHealth]


async def health(_: Call) -> Answer:
    """Alive; asks nobody, so that an ill database restarts nothing."""
    return Answer(200, b"ok", "text/plain; charset=utf-8")


async def ready(call: Call) -> Answer:
    """Whether work can be taken in, part by part."""
    parts = list(call.context.health())
    states = {part.state for part in parts}
    if "failed" in states:
        return Answer(503, _encode(Readiness("failed", parts)), headers=(("Retry-After", "2"),))
    status = "degraded" if "degraded" in states else "ok"
    return Answer(200, _encode(Readiness(status, parts)))


async def metrics(call: Call) -> Answer:
    """The metrics of the whole tree, for those networks that may see them."""
    headers, client = call.request.headers, call.client
    networks = call.context.settings().http.metrics_allow
    if not client.is_sure or not is_inside(client.address, networks):
        raise Forbidden("Metrics are not for this address.")
    modern = "application/openmetrics-text" in headers.get("Accept", "")
    zipped = "gzip" in headers.get("Accept-Encoding", "")
    body = await call.context.metrics(as_openmetrics=modern, zipped=zipped)
    told = (*VARY, ("Content-Encoding", "gzip")) if zipped else VARY
    return Answer(200, body, OPENMETRICS if modern else CLASSIC, told)
