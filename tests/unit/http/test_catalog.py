"""The catalog of types: heard of soon, compiled once, never the reason of a failed request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from taskhub.errors import StoreDown
from taskhub.http.catalog import FRESH, Catalog, KnownType
from taskhub.model import DEFAULTS_KEY, TypeDefaults, TypeInfo
from taskhub.ports import Register

from tests.unit.http.house import House, open_house
from tests.virtual_clock import pass_time
from tests.waiting import turns, until


class Types:
    """A store's types, and how often somebody has looked."""

    def __init__(self, *infos: TypeInfo) -> None:
        self.infos, self.looks, self.is_down = list(infos), 0, False

    async def __call__(self) -> list[TypeInfo]:
        self.looks += 1
        if self.is_down:
            raise StoreDown
        return list(self.infos)


class Clock:
    """A clock that stands where it is put."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_an_unknown_type_is_looked_for_but_not_at_any_price() -> None:
    """A worker may just have come; names that strangers make up cost one look, not one each."""
    types, clock = Types(), Clock()
    catalog = Catalog(types, clock=clock)

    for number in range(100):
        assert await catalog.find(f"made-up-{number}") is None
    assert types.looks == 1
    types.infos.append(TypeInfo("new"))
    clock.now += 1.0

    assert (await catalog.find("new")) is catalog.get("new") is not None


async def test_a_store_that_is_down_takes_no_types_away() -> None:
    """What is known stays known."""
    types, clock = Types(TypeInfo("a")), Clock()
    catalog = Catalog(types, [TypeInfo("fixed")], clock=clock)
    await catalog.look()
    types.is_down = True

    await catalog.look()

    assert catalog.get("a") is not None
    assert catalog.get("fixed") is not None


async def test_types_that_are_gone_are_forgotten_and_others_not_compiled_again() -> None:
    """Two seconds apart, for ever: what is the same costs nothing."""
    types = Types(TypeInfo("a", {"type": "object"}), TypeInfo("b"))
    catalog = Catalog(types)
    await catalog.look()
    known = catalog.get("a")
    types.infos = [TypeInfo("a", {"type": "object"})]

    await catalog.look()

    assert catalog.get("a") is known
    assert catalog.get("b") is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:9/schema"},
        {"pattern": "("},
        {DEFAULTS_KEY: {"maxAttempts": "many"}},
    ],
    ids=str,
)
async def test_a_schema_that_cannot_be_read_rules_nothing(schema: dict[str, object]) -> None:
    """Its worker will judge; the API neither fails nor fetches anything."""
    catalog = Catalog(Types(TypeInfo("odd", schema)))
    await catalog.look()

    odd = catalog.get("odd")

    assert odd is not None
    assert odd.defaults == TypeDefaults()
    assert odd.broken({"any": "thing"}) == []


async def test_rules_that_are_broken_do_not_show_the_value() -> None:
    """Neither values nor names that a client made up come back."""
    schema = {
        "type": "object",
        "properties": {"a/b": {"type": "array", "items": {"enum": ["x"]}}, "n": {"minimum": 3}},
        "required": ["n"],
        "additionalProperties": False,
    }
    catalog = Catalog(Types(TypeInfo("t", schema)))
    await catalog.look()
    known = catalog.get("t")
    assert known is not None

    errors = known.broken({"a/b": ["x", "canary"], "canary": 1})

    assert {error.pointer for error in errors} == {"", "/a~1b/1"}
    assert "canary" not in msgspec.json.encode([error.detail for error in errors]).decode()
    assert any('"n"' in error.detail for error in errors)


async def test_a_type_is_taken_as_soon_as_a_worker_has_registered_it(house: House) -> None:
    """422 before, 201 after: without waiting for the next look."""
    before = await house.ask("POST", "/tasks", json={"title": "x", "type": "brand-new"})
    await house.put(Register(types=[TypeInfo("brand-new")]))
    house.context.types._looked_at = float("-inf")
    after = await house.ask("POST", "/tasks", json={"title": "x", "type": "brand-new"})

    assert (before.status, after.status) == (422, 201)


async def test_the_server_hears_of_types_by_itself(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those that nobody asks for by name, and of those that are gone."""
    monkeypatch.setattr("taskhub.http.catalog.FRESH", 0.01)
    async with open_house(tmp_path, empty_database) as house:
        await house.put(Register(types=[TypeInfo("quiet")]))

        await until(lambda: house.context.types.get("quiet"))


async def test_nobody_is_told_that_a_type_is_unknown_while_the_store_is_down() -> None:
    """A client would throw its task away: 503 says try again."""
    types = Types(TypeInfo("a"))
    catalog = Catalog(types)
    types.is_down = True

    with pytest.raises(StoreDown):
        await catalog.find("a")

    types.is_down = False
    assert await catalog.find("a") is not None


@pytest.mark.virtual_clock
async def test_types_are_read_when_the_bell_rings_for_them_and_now_and_then() -> None:
    """A deploy is heard of in milliseconds, without an event server in two seconds."""
    types = Types()
    catalog = Catalog(types)
    watching = asyncio.create_task(catalog.run())
    try:
        await turns()
        catalog.rang(frozenset({"work"}))
        await turns()
        assert types.looks == 0
        types.infos.append(TypeInfo("new"))
        catalog.rang(frozenset({"types"}))
        await turns()
        assert catalog.get("new") is not None
        await pass_time(FRESH + 0.01)
        assert types.looks == 2
    finally:
        watching.cancel()


async def test_formats_count_as_they_do_for_the_worker() -> None:
    """A time that is none would only fail there, when nobody looks any more."""
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}
    catalog = Catalog(Types(TypeInfo("t", schema)))
    await catalog.look()
    known = catalog.get("t")
    assert known is not None

    assert [error.pointer for error in known.broken({"at": "soon"})] == ["/at"]
    assert known.broken({"at": "2030-01-31T08:00:00Z"}) == []


def test_no_members_break_no_rule_of_members_and_other_rules_are_asked_for() -> None:
    """Only what is plain is taken without the validator, whose answer it must be."""
    of_members = {"properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    cases: dict[str, object] = {"title": "T", "required": ["a"], "minProperties": 1}
    for word, rule in cases.items():
        more = {word: rule}
        known = KnownType(TypeInfo("t", {"type": "object", **of_members, **more}))
        assert len(known.broken({})) == (word != "title")
        assert len(known.broken({"b": 1})) == 1 + (word == "required")
        assert known.broken([])
