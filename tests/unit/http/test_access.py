"""Every route against every way in, made from the route table: nobody can forget a route."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from taskhub.config.policies import OWNABLE
from taskhub.http.access import Access, Holders, access
from taskhub.http.auth import Principal
from taskhub.http.openapi import described
from taskhub.http.route import Route
from taskhub.http.routes import ROUTES

from tests.unit.http.house import House, bearer

SERVED = described(ROUTES)
UNKNOWN = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"
MAKER = "the-maker"
EVERY_SCOPE = {scope for route in SERVED if route.access for scope in route.access.scopes}
EVERY_ROLE = {role for route in SERVED if route.access for role in route.access.roles}

Way = tuple[Route, Access]
GUARDED: list[Way] = [(route, route.access) for route in SERVED if route.access is not None]
OWNED = [(route, rights) for route, rights in GUARDED if rights.own != Access().own]
each_guarded = pytest.mark.parametrize("way", GUARDED, ids=lambda way: way[0].name)
each_owned = pytest.mark.parametrize("way", OWNED, ids=lambda way: way[0].name)


async def status(house: House, route: Route, task: str, headers: dict[str, str]) -> int:
    """What the route says to this token; a body may never end, so it is not read."""
    path = re.sub(r"\{[a-z]+\}", task, route.path)
    async with house.client.request(route.method, path, headers=headers) as answer:
        return answer.status


async def made(house: House, subject: str = MAKER) -> str:
    """The id of a new task of that maker."""
    headers = bearer(sub=subject, scope="tasks.write")
    reply = await house.ask("POST", "/tasks", json={"title": "x"}, headers=headers)
    return str(reply.json["id"])


def alone(holders: Holders) -> list[dict[str, Any]]:
    """The claims of a token with each scope, and with each role, and nothing else."""
    scopes: list[dict[str, Any]] = [{"scope": scope} for scope in holders.scopes]
    return scopes + [{"scope": "", "roles": [role]} for role in holders.roles]


def lets_in(code: int) -> bool:
    """Whether who asked was allowed to; what became of it is another matter."""
    assert code < 500
    return code not in {401, 403}


@each_guarded
async def test_without_a_good_token_nobody_gets_in(house: House, way: Way) -> None:
    """401, whatever else the request is like."""
    del house.client.headers["Authorization"]

    for headers in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic eDp5"}):
        assert await status(house, way[0], UNKNOWN, headers) == 401


@each_guarded
async def test_no_other_scope_and_no_other_role_gets_in(house: House, way: Way) -> None:
    """All that other routes take together, and what only looks like the right one."""
    route, rights = way
    others = EVERY_SCOPE.difference(rights.scopes)
    near = [word for s in rights.scopes for word in (s.upper(), f"{s}s", f"x{s}", f"{s}.x")]
    swapped = [*EVERY_ROLE.difference(rights.roles), *rights.scopes]
    near_roles = [word for r in rights.roles for word in (r.lower(), f"{r}s", f"{r} x")]

    for claims in (
        {"scope": None},
        {"scope": " ".join([*others, *near, *rights.roles])},
        {"scope": None, "roles": [*swapped, *near_roles]},
        {"scope": None, "role": " ".join(rights.roles) + " "},
    ):
        assert await status(house, route, UNKNOWN, bearer(**claims)) == 403, claims


@each_guarded
async def test_each_right_scope_and_each_right_role_is_enough(house: House, way: Way) -> None:
    """Alone, with whatever subject: full rights know no owners."""
    route, rights = way
    ways = alone(rights.full)
    assert ways or rights.own != Access().own, "this route is closed to everybody"

    for claims in ways:
        headers = bearer(sub="somebody", **claims)
        assert lets_in(await status(house, route, await made(house), headers)), claims


@each_owned
async def test_a_right_for_ones_own_ends_at_others(house: House, way: Way) -> None:
    """The maker is let in. To others: 403 if they may read the task, else it is not there."""
    route, rights = way

    for claims in alone(rights.own):
        task = await made(house)
        mine, theirs = bearer(sub=MAKER, **claims), bearer(sub="somebody", **claims)
        reading = bearer(sub="somebody", **{**claims, "scope": f"{claims['scope']} tasks.read"})
        nameless = bearer(sub=None, **claims)
        assert await status(house, route, task, theirs) == 404
        assert await status(house, route, task, nameless) == 404
        assert await status(house, route, task, reading) == 403
        assert lets_in(await status(house, route, task, mine))


@each_owned
async def test_a_task_of_others_looks_like_one_that_is_not_there(house: House, way: Way) -> None:
    """Who may not read tasks cannot find out which there are: the answers differ in nothing."""
    task = await made(house)
    headers = bearer(sub="somebody", scope=way[1].own.scopes[0]) | {"X-Request-Id": "same"}
    path = way[0].path

    replies = [
        await house.ask(way[0].method, path.replace("{id}", id_), headers=headers)
        for id_ in (task, UNKNOWN)
    ]

    assert replies[0].body == replies[1].body
    assert dict(replies[0].headers) == dict(replies[1].headers) | {
        "Date": replies[0].headers["Date"]
    }


@pytest.mark.parametrize("route", [r for r in SERVED if r.access is None], ids=lambda r: r.name)
async def test_the_open_routes_ask_nobody(house: House, route: Route) -> None:
    """Machines have no token; a bad one is not held against them."""
    del house.client.headers["Authorization"]

    for headers in ({}, {"Authorization": "Bearer a.b.c"}):
        assert lets_in(await status(house, route, UNKNOWN, headers))


def configured(house: House, **policies: list[str]) -> None:
    """Put policies in force, as a reload does."""
    texts = {name: tuple(grants) for name, grants in policies.items()}
    house.config = msgspec.structs.replace(house.config, policies=texts)


@each_guarded
async def test_a_policy_takes_the_place_of_the_table(house: House, way: Way) -> None:
    """From the next request on, and back again: whoever was let in before is not any more."""
    route, rights = way
    usual = {"scope": " ".join(rights.scopes), "roles": list(rights.roles)}
    special = ({"scope": "shop:special"}, {"scope": "", "roles": ["Größe 1"]})
    configured(house, **{route.policy or route.name: ["scope:shop:special", "role:Größe 1"]})

    assert await status(house, route, UNKNOWN, bearer(**usual)) == 403
    for claims in special:
        assert lets_in(await status(house, route, UNKNOWN, bearer(**claims)))
    configured(house)
    for claims in special:
        assert await status(house, route, UNKNOWN, bearer(**claims)) == 403


@pytest.mark.parametrize("name", sorted(OWNABLE))
async def test_a_policy_may_be_for_ones_own_tasks(house: House, name: str) -> None:
    """Every route that takes such a grant keeps it."""
    (route,) = [route for route in SERVED if route.name == name]
    configured(house, **{name: ["own role:Customer"]})
    task = await made(house)

    async def ask(subject: str, **claims: object) -> int:
        headers = bearer(sub=subject, **{"scope": "", "roles": ["Customer"]} | claims)
        return await status(house, route, task, headers)

    assert await ask("somebody") == 404
    assert await ask("somebody", scope="tasks.read") == (404 if name == "getTask" else 403)
    assert await ask(MAKER) == (409 if name == "retryTask" else 200)


async def test_who_waits_for_a_task_of_others_waits_for_nothing(house: House) -> None:
    """`?wait=` would tell by its time that there is such a task."""
    configured(house, getTask=["own scope:tasks.read"])
    task = await made(house)

    reply = await house.ask("GET", f"/tasks/{task}?wait=50", headers=bearer(sub="somebody"))

    assert reply.status == 404


async def test_the_description_tells_the_policies_in_force(house: House) -> None:
    """A client that is made from it asks for the right scope."""
    before = (await house.ask("GET", "/openapi.json")).json
    configured(house, listTasks=["scope:shop.read", "role:Shop"])

    after = (await house.ask("GET", "/openapi.json")).json

    assert before["paths"]["/tasks"]["get"]["security"] == [{"bearer": ["tasks.read"]}]
    assert after["paths"]["/tasks"]["get"]["security"] == [
        {"bearer": ["shop.read"]},
        {"bearer": ["Shop"]},
    ]
    assert before["paths"]["/tasks"]["post"] == after["paths"]["/tasks"]["post"]


async def test_a_refusal_names_what_the_policy_asks_for(house: House) -> None:
    """The first scope in the challenge; the roles where no scope would help."""
    configured(house, listTasks=["scope:a", "scope:b"], getTask=["role:X", "role:Y"])
    headers = bearer(scope="tasks.write")

    listing = await house.ask("GET", "/tasks", headers=headers)
    getting = await house.ask("GET", f"/tasks/{UNKNOWN}", headers=headers)

    assert 'scope="a"' in listing.headers["WWW-Authenticate"]
    assert "It needs the role X or Y." in getting.json["detail"]


def test_an_access_reads_as_it_is_written() -> None:
    """What the documents print is what a configuration may say."""
    texts = ("own scope:a", "own role:b", "scope:c", "role:d")

    assert access(*texts).grants == texts
    with pytest.raises(ValueError, match="x"):
        access("x")


def test_nobody_owns_what_has_no_maker() -> None:
    """A token without a subject makes tasks without one: they do not belong to all such tokens."""
    who = Principal(subject="", key="k", scopes=frozenset({"a"}), roles=frozenset(), until=0.0)

    assert access("own scope:a").admits(who)
    assert not access("own scope:a").covers(who, "")
