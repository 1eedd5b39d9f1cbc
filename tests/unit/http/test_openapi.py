"""The description: valid by its own standard, true in every example, whole for every route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from taskhub.http.new_task import Title
from taskhub.http.openapi import described
from taskhub.http.openapi.document import document
from taskhub.http.openapi.payloads import BY_TYPE, TAKERS
from taskhub.http.openapi.samples import sample
from taskhub.http.route import Field, Message
from taskhub.http.routes import MESSAGES, ROUTES
from taskhub.model import Event

from tests.unit.http.house import House

SERVED = described(ROUTES, MESSAGES)
TOLD: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(SERVED, MESSAGES)))
OPERATIONS = {op["operationId"]: op for item in TOLD["paths"].values() for op in item.values()} | {
    hook["post"]["operationId"]: hook["post"] for hook in TOLD["webhooks"].values()
}
PROBLEM = "application/problem+json"


def test_it_is_valid_by_the_meta_schema_of_openapi_3_1() -> None:
    """The standard's own judge; it follows every reference and compares path parameters."""
    assert TOLD["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(TOLD).iter_errors()] == []


def test_the_judge_sees_mistakes() -> None:
    """A reference to nowhere is found."""
    broken = msgspec.json.decode(msgspec.json.encode(TOLD))
    broken["paths"]["/tasks"]["post"]["responses"]["201"] = {"content": {}}

    assert list(OpenAPIV31SpecValidator(broken).iter_errors())


def holders(value: Any) -> Iterator[dict[str, Any]]:
    """Every parameter, header and media type below: what has a schema, and perhaps examples."""
    if isinstance(value, dict):
        if isinstance(value.get("schema"), dict):
            yield value
        for inner in value.values():
            yield from holders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from holders(inner)


def examples(holder: dict[str, Any]) -> list[Any]:
    """The values that stand beside a schema."""
    several = [one["value"] for one in holder.get("examples", {}).values()]
    return several + ([holder["example"]] if "example" in holder else [])


def is_allowed(schema: dict[str, Any], value: Any) -> bool:
    """What JSON Schema says of a value."""
    whole = {"components": TOLD["components"], "allOf": [schema]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return bool(validator.is_valid(value))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_and_parameter_has_examples_and_they_are_true(name: str) -> None:
    """A shape whose sample breaks its own schema needs an example in `openapi/examples.py`."""
    operation = OPERATIONS[name]
    found = [*holders(operation.get("parameters", [])), *holders(operation.get("requestBody"))]
    found += [h for r in operation["responses"].values() for h in holders(r.get("content", {}))]

    assert [holder for holder in found if not examples(holder)] == []
    wrong = [(h["schema"], e) for h in found for e in examples(h) if not is_allowed(h["schema"], e)]
    assert wrong == []


@pytest.mark.parametrize("route", SERVED, ids=lambda route: route.name)
def test_every_error_of_a_route_is_told_with_its_own_schema(route: Any) -> None:
    """A client can tell them apart by `type`, and by nothing that might change."""
    responses = OPERATIONS[route.name]["responses"]
    replies = {reply.status for reply in route.replies}

    for error in route.errors:
        if error.status in replies:
            continue
        media = responses[str(error.status)]["content"][PROBLEM]
        told = media["examples"][error.code]["value"]
        assert told["type"] == f"urn:taskhub:problem:{error.code}"
        assert told["status"] == error.status
        assert is_allowed(media["schema"], told)
        assert not is_allowed(media["schema"], told | {"type": "urn:taskhub:problem:other"})
    assert PROBLEM in responses["500"]["content"]


@pytest.mark.parametrize("route", SERVED, ids=lambda route: route.name)
def test_who_may_is_told_to_machines_and_to_people(route: Any) -> None:
    """Scopes and roles stand in `security`, and in a sentence."""
    operation = OPERATIONS[route.name]
    ways = {way for one in operation["security"] for way in one["bearer"]}

    wanted = {*route.access.roles, *route.access.scopes} if route.access else set()
    assert ways == wanted
    assert all(f"`{way}`" in operation["description"] for way in ways)
    assert (set(operation["responses"]) >= {"401", "403"}) == bool(route.access)


def test_names_are_unique_and_every_operation_has_a_group() -> None:
    """Generators make functions and files of them."""
    names = [op["operationId"] for item in TOLD["paths"].values() for op in item.values()]

    assert len(set(names)) == len(names) == len(SERVED)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)
    tags = {tag["name"] for tag in TOLD["tags"]}
    assert {op["tags"][0] for item in TOLD["paths"].values() for op in item.values()} == tags


@pytest.mark.parametrize(
    "title",
    ["x", " é ", "\u2028x", "x" * 200, "x" * 201, "", " ", "\u3000 ", "a\n", "\x7f", "a\tb"],
)
def test_a_title_is_described_as_it_is_checked(title: str) -> None:
    """The description says the rule in other words than the check."""
    told = TOLD["components"]["schemas"]["NewTask"]["properties"]["title"]
    try:
        msgspec.convert(title, Title)
        is_taken = True
    except msgspec.ValidationError:
        is_taken = False

    assert is_allowed(told, title) == is_taken


def test_the_words_of_a_status_are_those_of_rfc_9110() -> None:
    """Not those of the Python that runs: some were renamed in 3.13."""
    responses = OPERATIONS["createTask"]["responses"]

    assert responses["413"]["description"] == "Content Too Large"
    assert responses["422"]["description"] == "Unprocessable Content"


def test_errors_say_when_to_come_back() -> None:
    """`Retry-After` and `WWW-Authenticate` are told where they are sent."""
    responses = OPERATIONS["createTask"]["responses"]

    assert "Retry-After" in responses["503"]["headers"]
    assert "WWW-Authenticate" in responses["401"]["headers"]
    assert set(responses["422"]["content"][PROBLEM]["examples"]) == {"invalid", "key-reused"}
    assert all("X-Request-Id" in response["headers"] for response in responses.values())


def test_an_answer_leads_on() -> None:
    """Links: a new task to its routes, a page to the next one."""
    links = OPERATIONS["createTask"]["responses"]["201"]["links"]

    assert set(links) >= {"getTask", "cancelTask", "retryTask"}
    assert links["getTask"]["parameters"] == {"id": "$response.body#/id"}
    assert "next" in OPERATIONS["listTasks"]["responses"]["200"]["links"]


def test_messages_are_told_with_their_header_fields() -> None:
    """What we send by ourselves is in `webhooks`."""
    message = Message(
        name="signed", text="x. y", body=Event, fields=(Field("Signature", "a MAC", "v1=00"),)
    )

    hook = document((), (message,))["webhooks"]["signed"]["post"]

    assert hook["parameters"][0]["name"] == "Signature"
    assert hook["summary"] == "x"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#/components/schemas/A"}, {"b": 3}),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, False),
        ({"type": "array", "items": {"enum": ["x", "y"]}}, ["x"]),
        ({"type": "string", "format": "date-time"}, "2026-11-24T22:17:17Z"),
        ({"const": 7}, 7),
        ({"examples": ["e"], "type": "string"}, "e"),
        ({}, {}),
    ],
)
def test_a_shape_without_an_example_gets_a_sample(schema: dict[str, Any], value: Any) -> None:
    """Routes that come later are covered before anybody writes an example."""
    known = {"A": {"type": "object", "properties": {"b": {"type": "integer", "minimum": 3}}}}

    assert sample(schema, known) == value


def test_a_shape_that_contains_itself_ends() -> None:
    """No sample is endless."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}

    assert "child" in sample(tree, {"Tree": tree})


async def test_the_description_is_sent_once_and_then_confirmed(house: House) -> None:
    """A client that has it gets 304 and no body."""
    first = await house.ask("GET", "/openapi.json")
    again = await house.ask(
        "GET", "/openapi.json", headers={"If-None-Match": first.headers["ETag"]}
    )

    told = first.json
    schemas = told["components"]["schemas"]
    del schemas["Payload.simulate"], schemas["Payload.resize"]
    for taker in TAKERS:
        del schemas[taker][BY_TYPE]
    assert told == TOLD
    assert first.headers["Cache-Control"] == "no-cache"
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


async def test_the_page_allows_only_its_own_script_and_style(house: House) -> None:
    """No other host is named, and nothing else would be loaded."""
    page = await house.ask("GET", "/docs")
    policy = page.headers["Content-Security-Policy"]

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    again = await house.ask("GET", "/docs", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status, again.headers["Content-Security-Policy"]) == (304, policy)


async def test_neither_takes_parameters(house: House) -> None:
    """As everywhere: what is not understood is said."""
    assert (await house.ask("GET", "/openapi.json?x=1")).status == 400
    assert (await house.ask("GET", "/docs?x=1")).status == 400
