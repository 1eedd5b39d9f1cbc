"""`GET /types`: what a client learns of types, and how one goes that nobody does any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from taskhub.http.catalog import Catalog
from taskhub.model import TypeInfo
from taskhub.obs.telemetry import ActAudited
from taskhub.ports import Register
from taskhub.telling import DELIVERY

from tests.unit.http.house import House, bearer

OPERATOR = bearer(role="Operator")
PRESS = TypeInfo(
    "press",
    {
        "type": "object",
        "required": ["page"],
        "x-taskhub": {"queue": "paper", "keepResultSeconds": 60},
    },
)


@pytest.fixture
def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after 90 seconds in which no worker said anything."""
    monkeypatch.setattr("taskhub.registration.SILENT_AFTER", timedelta(0))


async def test_types_are_told_with_schema_defaults_and_who_does_them(house: House) -> None:
    """Those that every TaskHub knows are there too; they are active once a worker has come."""
    await house.put(Register(types=[PRESS]))

    told = {row["name"]: row for row in (await house.ask("GET", "/types")).json["items"]}

    assert list(told) == sorted(told)
    assert {"simulate", "resize", "press"} <= set(told)
    press = told["press"]
    assert press["payloadSchema"] == {"type": "object", "required": ["page"]}
    assert (press["queue"], press["timeoutSeconds"], press["maxAttempts"]) == ("paper", 60.0, 5)
    assert (press["keepResultSeconds"], press["external"]) == (60.0, False)
    assert (press["standing"], press["waiting"]) == ("active", 0)
    assert press["registeredAt"] == press["seenAt"] is not None
    assert (told["simulate"]["standing"], told["simulate"]["seenAt"]) == ("away", None)
    assert (await house.ask("GET", "/types/press")).json == press


@pytest.mark.parametrize("path", ["/types", "/types/brand-new"])
async def test_a_type_that_is_shown_is_taken(house: House, path: str) -> None:
    """Though nobody was told of it, and a stranger's name was looked for a moment ago."""
    body = {"title": "x", "type": "brand-new"}
    before = await house.ask("POST", "/tasks", json=body)
    await house.put(Register(types=[TypeInfo("brand-new")]))
    shown = await house.ask("GET", path)
    after = await house.ask("POST", "/tasks", json=body)

    assert (before.status, shown.status, after.status) == (422, 200, 201)


async def test_tasks_of_a_type_that_nobody_knows_are_explained(house: House) -> None:
    """The type was renamed: its name stands there, with how many wait."""
    await house.put(Register(types=[PRESS]))
    await house.context.types.look()
    await house.create(type="press", payload={"page": 1})
    await house.create()
    await house.ask("DELETE", "/types/press", headers=OPERATOR)  # it is done: refused
    assert (await house.ask("GET", "/types/press")).json["waiting"] == 1
    assert (await house.ask("GET", "/types/simulate")).json["waiting"] == 1


async def test_a_type_that_nobody_does_can_be_forgotten(house: House, nobody_works: None) -> None:
    """New tasks of it are refused at once, old ones stay; the audit says who it was."""
    await house.put(Register(types=[PRESS]))
    await house.context.types.look()
    made = await house.create(type="press", payload={"page": 1})

    gone = await house.ask("DELETE", "/types/press", headers=OPERATOR)

    assert (gone.status, gone.body) == (204, b"")
    refused = await house.ask("POST", "/tasks", json={"title": "x", "type": "press"})
    assert [error["pointer"] for error in refused.json["errors"]] == ["/type"]
    assert (await house.ask("GET", f"/tasks/{made['id']}")).json["status"] == "Pending"
    row = (await house.ask("GET", "/types/press")).json
    assert (row["standing"], row["waiting"], row["registeredAt"]) == ("unknown", 1, None)
    assert [event.act for event in house.said(ActAudited)] == ["forget type press"]
    page = (await house.ask("GET", "/audit", headers=OPERATOR)).json["items"]
    assert page[0]["message"] == "forget type press"


async def test_a_type_that_somebody_does_stays(house: House) -> None:
    """It would be registered again at once."""
    await house.put(Register(types=[PRESS]))

    refused = await house.ask("DELETE", "/types/press", headers=OPERATOR)

    assert (refused.status, refused.json["type"]) == (409, "urn:taskhub:problem:type-in-use")
    assert (await house.ask("GET", "/types/press")).status == 200


@pytest.mark.parametrize("name", ["nobodys", "simulate", "a%2Fb", "%00", DELIVERY])
async def test_what_is_not_registered_cannot_be_forgotten(house: House, name: str) -> None:
    """Nor what every TaskHub knows by itself."""
    reply = await house.ask("DELETE", f"/types/{name}", headers=OPERATOR)

    assert (reply.status, reply.json["type"]) == (404, "urn:taskhub:problem:no-type")


async def test_the_description_has_the_schemas_of_all_payloads(house: House) -> None:
    """What a schema refers to in itself is found where it stands there; its own values stay."""
    schema = {
        "$ref": "#/$defs/Page",
        "$defs": {"Page": {"type": "object", "default": {"$ref": "#/kept"}}},
    }
    await house.put(Register(types=[TypeInfo("print:page", schema)]))
    before = await house.ask("GET", "/openapi.json")
    await house.context.types.look()

    told = await house.ask("GET", "/openapi.json")

    schemas = told.json["components"]["schemas"]
    place = "#/components/schemas/Payload.print_3A_page"
    assert schemas["NewTask"]["x-taskhub-payloads"]["print:page"] == {"$ref": place}
    assert schemas["Payload.print_3A_page"] == {**schema, "$ref": f"{place}/$defs/Page"}
    assert schemas["Payload.resize"]["required"] == ["url"]
    assert "Payload.print_3A_page" not in before.json["components"]["schemas"]
    assert told.headers["ETag"] != before.headers["ETag"]


async def test_unknown_types_are_taken_where_the_configuration_says_so(house: House) -> None:
    """The task waits for a worker that does not yet exist; known types keep their rules."""
    house.context.types = Catalog(house.store.types, (PRESS,), takes_unknown=lambda: True)

    made = await house.create(type="not-yet", payload=[1])
    wrong = await house.ask("POST", "/tasks", json={"title": "x", "type": "press", "payload": {}})

    assert (made["type"], made["queue"], made["payload"]) == ("not-yet", "default", [1])
    assert wrong.status == 422
