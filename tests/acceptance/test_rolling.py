"""A deploy restarts every role while clients post: nothing is lost, done twice or refused."""

from __future__ import annotations

import msgspec

from tests.acceptance.installation import Installation
from tests.acceptance.rolling import roll

RESTARTS = 3
"""Of each role; `python -m tests.acceptance.rolling 50` makes it fifty."""


async def test_restarts_of_every_role_lose_nothing_and_refuse_no_connection(
    hub: Installation,
) -> None:
    """The socket stays with whoever passed it on: who comes meanwhile waits, and is served."""
    figures = await roll(hub, RESTARTS)

    costs = {name: value for name, value in msgspec.structs.asdict(figures).items() if value}
    assert figures.restarts == 3 * RESTARTS
    assert costs.keys() <= {"restarts", "accepted", "put_off"}
