"""One limit over several API processes: together on the event server, alone without, together."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

from tests.acceptance.installation import Installation, token

LIMIT = 4
PROBES = itertools.count()


async def create(api: Installation, subject: str) -> int:
    """The status of a new task of this subject."""
    fields = {"Authorization": f"Bearer {token(subject=subject)}"}
    status, _ = await api.request("POST", "/tasks", {"title": "x", "delaySeconds": 3_600}, **fields)
    return status


def states(api: Installation) -> list[str]:
    """What its API has said of the shared counts."""
    return [line["State"] for line in api.told("StateChanged") if line["Part"] == "limits"]


async def says(api: Installation, *story: str) -> None:
    """Return when it has said this; each time somebody new asks, that it notices."""

    async def look() -> bool:
        await create(api, f"probe-{next(PROBES)}")
        return states(api) == list(story)

    await api.until(look)


async def test_two_apis_share_a_limit_and_go_on_alone_while_the_event_server_is_away(
    hub: Installation, tmp_path: Path
) -> None:
    """Four for both; four for each while it is frozen; four for both after its death."""
    hub.configure(
        f'[store]\nurl = "sqlite:///{tmp_path}/data/taskhub.db"\n[limits]\ncreate = "{LIMIT}/day"\n'
    )
    await hub.start()
    other = hub.another()
    other.url = f"http://127.0.0.1:{other.port}"
    await other.start("api", {"Events__Url": f"unix://{tmp_path}/data/events.sock"})
    apis = (hub, other)

    for api in apis:
        await says(api, "ok")
    together = [await create(api, "alice") for _ in range(LIMIT) for api in apis]

    frozen = await hub.kill("tree/events-server", signal.SIGSTOP)
    alone = [await create(api, "bob") for _ in range(LIMIT + 1) for api in apis]
    os.kill(frozen, signal.SIGKILL)

    for api in apis:
        await says(api, "ok", "degraded", "ok")
    again = [await create(api, "carol") for _ in range(LIMIT) for api in apis]

    assert together == again == [201] * LIMIT + [429] * LIMIT
    assert alone == [201] * 2 * LIMIT + [429] * 2
    assert (await other.stop(), await hub.stop()) == (0, 0)
