"""The routes of external workers: types, claims, leases, outcomes."""

from __future__ import annotations

from taskhub.errors import NotFound
from taskhub.http import limits
from taskhub.http.external import bodies, claiming, ending, holding
from taskhub.http.external import types as external_types
from taskhub.http.external.leases import LeaseOver
from taskhub.http.external.types import OwnType
from taskhub.http.route import TAKES_BODY, WORK, WRITES, Reply, Route

HOLDS = (*TAKES_BODY, NotFound, LeaseOver, *WRITES)
"""Of whoever brings a lease."""

ROUTES: tuple[Route, ...] = (
    Route(
        method="PUT",
        path="/work/types",
        name="registerTypes",
        text=(
            "Make types of tasks known that external workers do. May be said again at each start: "
            "the defaults are then the new ones."
        ),
        handler=external_types.register,
        access=WORK,
        limit=limits.WORK,
        body=bodies.NewTypes,
        replies=(Reply(200, "They are known.", bodies.KnownTypes),),
        errors=(*TAKES_BODY, OwnType, *WRITES),
    ),
    Route(
        method="POST",
        path="/work/claim",
        name="claimWork",
        text=(
            "Take tasks to work on. With `wait` the answer comes when there are some. Each has a "
            "lease: who does not renew it in time has lost the task to somebody else."
        ),
        handler=claiming.claim,
        access=WORK,
        limit=limits.WORK,
        body=bodies.Wish,
        replies=(
            Reply(200, "Tasks, the most urgent first.", bodies.HandedList),
            Reply(204, "There are none now."),
        ),
        errors=(*TAKES_BODY, *WRITES),
    ),
    Route(
        method="POST",
        path="/work/{id}/renew",
        name="renewWork",
        text=(
            "Go on: the lease lasts so many seconds from now, but not longer than the task's "
            "`timeoutSeconds`. The answer says whether somebody wishes the task's cancel; with "
            "`wait` it comes as soon as somebody does."
        ),
        handler=holding.renew,
        access=WORK,
        limit=limits.WORK,
        body=bodies.Renewal,
        replies=(Reply(200, "The lease goes on.", bodies.LeaseState),),
        errors=HOLDS,
    ),
    Route(
        method="POST",
        path="/work/{id}/progress",
        name="reportWork",
        text="Say how far the work is.",
        handler=holding.report,
        access=WORK,
        limit=limits.WORK,
        body=bodies.Report,
        replies=(Reply(204, "It is kept."),),
        errors=HOLDS,
    ),
    Route(
        method="POST",
        path="/work/{id}/complete",
        name="completeWork",
        text="The task is done. The same body again gets the same answer, also after a crash.",
        handler=ending.complete,
        access=WORK,
        limit=limits.WORK,
        body=bodies.Completion,
        replies=(Reply(200, "It is Done.", bodies.Outcome),),
        errors=HOLDS,
    ),
    Route(
        method="POST",
        path="/work/{id}/fail",
        name="failWork",
        text=(
            "The attempt has failed. The task comes again, or ends as Failed. The same body again "
            "gets the same answer, also after a crash."
        ),
        handler=ending.fail,
        access=WORK,
        limit=limits.WORK,
        body=bodies.Failure,
        replies=(Reply(200, "What has become of the task.", bodies.Outcome),),
        errors=HOLDS,
    ),
    Route(
        method="POST",
        path="/work/{id}/release",
        name="giveBackWork",
        text="Give the task back. The attempt does not count.",
        handler=holding.give_back,
        access=WORK,
        limit=limits.WORK,
        body=bodies.GivingBack,
        replies=(Reply(204, "Somebody else may take it."),),
        errors=HOLDS,
    ),
)
