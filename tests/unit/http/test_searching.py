"""GET /tasks?q=: searches over HTTP, what is said of mistakes, and filters beside them."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.http.queries import EXAMPLE, task_query
from taskhub.search import parse, printed
from yarl import URL

from tests.unit.http.house import House


async def titles(house: House, **query: str) -> list[str]:
    """The titles of a list, in its order."""
    reply = await house.ask("GET", "/tasks", params=query)
    assert reply.status == 200, reply.body
    return [item["title"] for item in reply.json["items"]]


async def test_a_search_finds_tasks_by_what_is_in_them(house: House) -> None:
    """Words of the title, members of the payload, all at once."""
    await house.create(title="Resize images", payload={"customer": 42})
    await house.create(title="Größe ändern", payload={"customer": 7})

    assert await titles(house, q="resize") == ["Resize images"]
    assert await titles(house, q="GRÖSSE") == []
    assert await titles(house, q="größe") == ["Größe ändern"]
    assert await titles(house, q="payload.customer=42") == ["Resize images"]
    assert await titles(house, q="payload.customer:* age:<1h status:pending -resize") == [
        "Größe ändern"
    ]
    assert await titles(house, q="") == ["Größe ändern", "Resize images"]


async def test_the_plain_filters_narrow_a_search(house: House) -> None:
    """One query underneath: all of it must hold."""
    await house.create(title="one", queue="a")
    await house.create(title="one", queue="b")

    assert await titles(house, q="one", queue="a") == ["one"]
    assert await titles(house, q="queue:b", queue="a") == []
    await house.create(title="two", groupKey="Käse & Co")
    assert await titles(house, q="one", groupKey="Käse & Co") == []
    assert await titles(house, groupKey="Käse & Co") == ["two"]
    assert await titles(house, q="groupKey:käse*") == []
    assert await titles(house, q="groupKey~käse") == ["two"]
    assert await titles(house, q="one", createdFrom="2100-01-01T00:00:00Z") == []
    assert await titles(house, q="one", createdTo="2100-01-01T00:00:00Z", status="Pending") == [
        "one",
        "one",
    ]


@pytest.mark.parametrize(
    ("q", "column", "said"),
    [
        ("statuss:done", 1, "did you mean status?"),
        ("a status:secret", 10, "one of Pending"),
        ("a" * 2_001, 2_001, "at most 2000 characters"),
    ],
)
async def test_a_mistake_points_at_its_column(house: House, q: str, column: int, said: str) -> None:
    """As text for people and as a number for consoles; nothing of it is repeated."""
    reply = await house.ask("GET", "/tasks", params={"q": q})

    assert (reply.status, reply.json["type"]) == (400, "urn:taskhub:problem:bad-query")
    (error,) = reply.json["errors"]
    assert (error["pointer"], error["column"]) == ("/q", column)
    assert error["detail"].startswith(f"column {column}: expected ")
    assert said in error["detail"]
    assert b"secret" not in reply.body


async def test_other_mistakes_have_no_column(house: House) -> None:
    """It is said of searches only."""
    reply = await house.ask("GET", "/tasks", params={"limit": "0"})

    assert set(reply.json["errors"][0]) == {"pointer", "detail"}


async def test_a_page_says_whether_it_has_stopped_early(house: House) -> None:
    """So that an empty page is not taken for an answer."""
    await house.create()

    reply = await house.ask("GET", "/tasks", params={"q": "task"})

    assert {name: reply.json[name] for name in ("next", "stopped")} == {
        "next": None,
        "stopped": False,
    }


@pytest.mark.parametrize("q", [EXAMPLE, 'title:"a & b?" payload.x=1', "größe 100%", "a+b c#d"])
def test_a_search_is_kept_in_an_address(q: str) -> None:
    """Whatever is in it: nothing but the address is needed to ask again."""
    address = URL("/tasks").with_query({"q": q})

    query: Any = task_query(URL(str(address)).query)

    assert query.where == parse(q)
    assert parse(printed(query.where)) == query.where
