"""`groupKey` of a new task, and the limit that keeps it waiting."""

from __future__ import annotations

import msgspec
import pytest
from taskhub.config.sections import QueueSection, WorkSection
from taskhub.model import Owner, TypeInfo
from taskhub.ports import Claim, Claimed, Register

from tests.unit.http.house import House


@pytest.mark.parametrize("key", ["customer-17", "Kundin Ärzte 🩺", "a" * 100])
async def test_a_task_keeps_its_key(house: House, key: str) -> None:
    """Any text of a line."""
    made = await house.create(groupKey=key)

    shown = (await house.ask("GET", f"/tasks/{made['id']}")).json
    assert (made["groupKey"], shown["groupKey"]) == (key, key)


@pytest.mark.parametrize("key", ["", "a" * 101, "a\nb", 17, None])
async def test_what_is_no_key_is_refused(house: House, key: object) -> None:
    """With the member and the rule."""
    reply = await house.ask("POST", "/tasks", json={"title": "x", "groupKey": key})

    assert reply.status == 422
    assert [error["pointer"] for error in reply.json["errors"]] == ["/groupKey"]


async def test_why_names_the_limit_and_who_holds_it(house: House) -> None:
    """As the configuration of the API has it now."""
    limits = {"default": QueueSection(key_concurrency=1)}
    house.config = msgspec.structs.replace(house.config, work=WorkSection(limits=limits))
    await house.put(Register(types=[TypeInfo("simulate")]))
    first, second = [await house.create(groupKey="acme") for _ in range(2)]
    wish = Claim(owner=Owner("h/worker-1/n"), limit=1, lease=15.0, types=("simulate",))
    (claimed,) = await house.put(wish)
    assert isinstance(claimed, Claimed)

    (reason,) = (await house.ask("GET", f"/tasks/{second['id']}/why")).json["reasons"]

    assert (reason["cause"], reason["key"]) == ("limitReached", "acme")
    assert reason["heldBy"] == [first["id"]] == [lease.item.id for lease in claimed.leases]
