"""The routes of whoever watches TaskHub itself."""

from __future__ import annotations

import msgspec

from taskhub.errors import Busy, Conflict, Forbidden, NotFound
from taskhub.http import auditing, limits, operating, restarting, watching
from taskhub.http.context import ActorRow
from taskhub.http.problems import BadQuery
from taskhub.http.route import ADMINISTER, NEEDS_TOKEN, OPERATE, WRITES, Reply, Route
from taskhub.obs.exposition import CLASSIC


class ActorList(msgspec.Struct, frozen=True):
    """Every actor of the tree."""

    items: list[ActorRow]


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/actors",
        name="listActors",
        text="The actors of the whole tree: state, uptime, restarts, mailboxes.",
        handler=operating.actors,
        access=OPERATE,
        replies=(Reply(200, "The actors.", ActorList),),
        errors=(*NEEDS_TOKEN, Busy),
    ),
    Route(
        method="POST",
        path="/actors/{name}/restart",
        pattern="/actors/{name:.+}/restart",
        name="restartActor",
        text="Stop and start one actor of any process; its full name is such as worker-1/pool.",
        handler=restarting.restart,
        access=ADMINISTER,
        limit=limits.ACTS,
        replies=(Reply(202, "It is asked to.", restarting.RestartAsked),),
        errors=(*NEEDS_TOKEN, NotFound, Conflict, restarting.Away, *WRITES),
    ),
    Route(
        method="GET",
        path="/audit",
        name="listAudit",
        text="A page of the audit log, newest first: who did what, when, from where.",
        handler=auditing.find,
        access=OPERATE,
        query=auditing.AUDIT,
        replies=(Reply(200, "The page.", auditing.AuditList),),
        errors=(BadQuery, *NEEDS_TOKEN, Busy),
    ),
    Route(
        method="GET",
        path="/health",
        name="health",
        text="Alive. Touches nothing else.",
        handler=watching.health,
        replies=(Reply(200, "Alive.", str, "text/plain; charset=utf-8"),),
    ),
    Route(
        method="GET",
        path="/ready",
        name="ready",
        text="Whether work can be taken in, part by part.",
        handler=watching.ready,
        replies=(
            Reply(
                200,
                "Yes; `degraded` when a part is away that we can do without.",
                watching.Readiness,
            ),
            Reply(503, "No: a part has failed.", watching.Readiness),
        ),
    ),
    Route(
        method="GET",
        path="/metrics",
        name="metrics",
        text="Metrics of the whole tree for Prometheus; for allowed networks.",
        handler=watching.metrics,
        replies=(Reply(200, "The metrics.", str, CLASSIC),),
        errors=(Forbidden,),
    ),
)
