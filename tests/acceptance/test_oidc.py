"""A whole TaskHub whose tokens come from a real OpenID provider: rotation, outage, return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.identity import Identity, identity
from tests.acceptance.installation import KEY, Installation
from tests.waiting import until

CONFIGURED = f"""authority = "https://issuer.test"
audience = "taskhub"
issuer_signing_key = "{KEY}"
"""


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Identity]:
    """The provider, not started yet."""
    folder = tmp_path / "provider"
    folder.mkdir()
    async with identity(folder) as found:
        yield found


def trust(hub: Installation, provider: Identity) -> None:
    """Configure nothing but the provider's name, and where roles stand."""
    settings = f"""authority = "{provider.url}"
audience = "taskhub"
role_claims = ["realm_access.roles"]
"""
    text = hub.config.read_text()
    assert CONFIGURED in text
    hub.config.write_text(text.replace(CONFIGURED, settings))


async def created(hub: Installation, token: str) -> tuple[int, Any]:
    """The answer to a new task."""
    bearer = {"Authorization": f"Bearer {token}"}
    return await hub.request("POST", "/tasks", {"title": "x"}, **bearer)


async def keys(hub: Installation, wanted: str) -> Any:
    """The part of `/ready` about keys, once it is in this state."""
    _, told = await hub.request("GET", "/ready")
    return next((p for p in told["parts"] if (p["name"], p["state"]) == ("keys", wanted)), None)


def states(hub: Installation) -> list[str]:
    """What the log says of the keys."""
    return [line["State"] for line in hub.told("StateChanged") if line["Part"] == "keys"]


async def test_a_real_provider_from_its_first_token_to_its_return(
    hub: Installation, provider: Identity
) -> None:
    """It is late, gives tokens, takes another key, goes away, and comes back."""
    trust(hub, provider)
    await hub.start()  # before its provider

    ready, _ = await hub.request("GET", "/ready")
    assert ready == 503
    assert (await created(hub, "a.b.c"))[0] == 401
    await provider.start()
    await hub.ask("reload")  # by itself it asks again as soon
    first = await provider.token()
    status, task = await hub.until(lambda: _accepted(hub, first))
    assert (status, task["createdBy"]) == (201, "robot")
    path = f"/tasks/{task['id']}?wait=50"
    status, task = await hub.request("GET", path, Authorization=f"Bearer {first}")
    assert (status, task["status"]) == (200, "Done")

    await provider.stop()
    assert (await created(hub, first))[0] == 201  # the key is known

    provider.rotate()
    await provider.start()
    second = await provider.token()
    assert (await created(hub, second))[0] == 201  # no 401 on the way
    (status, _), _ = await asyncio.gather(created(hub, first), hub.ask("reload"))
    assert status == 401  # it has died with its key

    await provider.stop()
    await hub.ask("reload")
    away = await hub.until(lambda: keys(hub, "degraded"))
    assert "those it gave before are used" in away["detail"]
    assert (await created(hub, second))[0] == 201

    await provider.start()
    await hub.ask("reload")
    await hub.until(lambda: keys(hub, "ok"))
    await until(lambda: states(hub) == ["failed", "ok", "degraded", "ok"])


async def _accepted(hub: Installation, token: str) -> Any:
    """The answer, once it is no 503; it is never a 401."""
    status, task = await created(hub, token)
    assert status != 401
    return (status, task) if status != 503 else None


async def test_a_reload_brings_a_provider_beside_the_secret(
    hub: Installation, provider: Identity
) -> None:
    """No restart: the tokens of both are good afterwards, each with its own names."""
    await provider.start()
    await hub.start()
    token = await provider.token()
    assert (await created(hub, token))[0] == 401

    hub.configure(
        f'[jwt.issuers.robots]\nauthority = "{provider.url}"\n'
        'audience = "taskhub"\nrole_claims = ["realm_access.roles"]\n'
    )
    answer = await hub.ask("reload")
    assert answer["applied"], answer
    status, task = await created(hub, token)

    assert (status, task["createdBy"]) == (201, "robots/robot")
    assert (await hub.post())["createdBy"] == "tester"


async def test_an_api_that_was_killed_asks_for_the_keys_again(
    hub: Installation, provider: Identity
) -> None:
    """It has no other memory of them; a worker never asks."""
    trust(hub, provider)
    await provider.start()
    await hub.start()
    token = await provider.token()
    await hub.until(lambda: _accepted(hub, token))

    await hub.kill("tree/api-1")

    status, _ = await hub.until(lambda: _accepted(hub, token))
    assert status == 201
    await until(lambda: {line["unit"] for line in hub.told("KeysChanged")} == {"api-1"})
