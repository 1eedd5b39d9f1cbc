"""The routes of whoever asks which types of tasks there are."""

from __future__ import annotations

from taskhub.http import kinds, limits
from taskhub.http.access import access
from taskhub.http.route import NEEDS_TOKEN, OPERATE, READS, WRITES, Reply, Route

LOOK = access("scope:tasks.read", "scope:tasks.write", "role:Task.Creator")
"""Who makes tasks must know what they take."""

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/types",
        name="listTypes",
        text=(
            "Every type of tasks: the JSON Schema of its payload, its defaults, whether a worker "
            "does it still, and how many tasks of it wait."
        ),
        handler=kinds.show_all,
        access=LOOK,
        replies=(Reply(200, "The types, by name.", kinds.TypeList),),
        errors=(*NEEDS_TOKEN, *READS),
    ),
    Route(
        method="GET",
        path="/types/{name}",
        pattern="/types/{name:[^/]+}",
        name="getType",
        text="One type of tasks.",
        handler=kinds.show,
        access=LOOK,
        replies=(Reply(200, "The type.", kinds.TypeRow),),
        errors=(*NEEDS_TOKEN, kinds.NoType, *READS),
    ),
    Route(
        method="DELETE",
        path="/types/{name}",
        pattern="/types/{name:[^/]+}",
        name="forgetType",
        text=(
            "Take a type away that no worker does any more: new tasks of it are refused from then "
            "on. Those that wait stay, until a worker registers it again or they are cancelled."
        ),
        handler=kinds.forget,
        access=OPERATE,
        limit=limits.ACTS,
        replies=(Reply(204, "It is gone."),),
        errors=(*NEEDS_TOKEN, kinds.NoType, kinds.TypeInUse, *READS, *WRITES),
    ),
)
