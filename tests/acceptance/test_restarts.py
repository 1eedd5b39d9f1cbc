"""An admin restarts any actor of a running tree, and the audit log says so."""

from __future__ import annotations

from typing import Any

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import Installation, token


async def row(hub: Installation, name: str) -> dict[str, Any] | None:
    """One actor as `GET /actors` shows it, once it is ready."""
    _, told = await hub.request("GET", "/actors")
    found = [each for each in told["items"] if each["name"] == name and each["state"] == "ready"]
    return found[0] if found else None


async def test_an_actor_of_any_process_is_restarted_and_everything_goes_on(
    hub: Installation,
) -> None:
    """The root's own, a worker's, the API that is asked itself, and a whole process."""
    await hub.start()
    admin = f"Bearer {token(roles=['Admin'], subject='ada')}"
    worker = await hub.pid("tree/worker-1")
    names = ["tree/store", "worker-1/pool", "api-1/api", "api-1/store", "tree/worker-1"]

    for name in names:
        status, told = await hub.request(
            "POST", f"/actors/{name.replace('/', '%2F')}/restart", Authorization=admin
        )
        assert (status, told) == (202, {"name": name})
        found = await hub.until(lambda name=name: _again(hub, name))
        assert found["restarts"] == 1

    assert (await hub.ended((await hub.post(payload={"seconds": 0}))["id"]))["status"] == "Done"
    assert await hub.pid("tree/worker-1") != worker
    assert [line["Act"] for line in hub.told("ActAudited")] == [f"restart {n}" for n in names]
    environ = {"TASKHUB_URL": hub.url, "TASKHUB_TOKEN": token()}
    shown = await taskhub("audit", "--text", "restart", folder=hub.folder, environ=environ)
    lines = shown.out.splitlines()[1:]
    assert [name in line for name, line in zip(names[::-1], lines, strict=True)] == [True] * 5
    assert all("ada" in line and "127.0.0.1" in line for line in lines)


async def _again(hub: Installation, name: str) -> dict[str, Any] | None:
    found = await row(hub, name)
    return found if found and found["restarts"] else None


async def test_operators_and_short_names_restart_nothing(hub: Installation) -> None:
    """403 before anything is looked at, 404 for what several processes have, and no mark of it."""
    await hub.start()
    environ = {"TASKHUB_URL": hub.url, "TASKHUB_TOKEN": token(roles=["Admin"])}

    refused, _ = await hub.request("POST", "/actors/nobody/restart")
    missing = await taskhub("actors", "restart", "store", folder=hub.folder, environ=environ)

    assert refused == 403
    assert (missing.code, "There is no such actor" in missing.err) == (1, True)
    assert hub.told("ActAudited") == []
