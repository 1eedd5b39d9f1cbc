"""The API judges a payload by the schema of its type, the worker by the annotation: they agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta
from taskhub import Fail
from taskhub.http.catalog import Catalog, KnownType
from taskhub.work.registry import Registry, handler
from taskhub.work.signature import read_signature


class Colour(Enum):
    """An enum of values."""

    RED = "red"
    BLUE = "blue"


class Crop(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A struct with other names in JSON."""

    left_edge: Annotated[int, Meta(ge=0)]
    width: int = 640


class Circle(msgspec.Struct, tag=True):
    """One of two shapes."""

    radius: float


class Square(msgspec.Struct, tag=True):
    """The other one."""

    side: float


@dataclass
class Size:
    """A dataclass."""

    width: int
    height: int | None = None


class Order(TypedDict):
    """A dictionary with known members."""

    item: str
    count: NotRequired[int]


@handler("it")
def _whole_struct(payload: Crop) -> None: ...
@handler("it")
def _whole_dataclass(payload: Size) -> None: ...
@handler("it")
def _whole_typed_dict(payload: Order) -> None: ...
@handler("it")
def _union(shape: Circle | Square) -> None: ...
@handler("it")
def _plain(url: str, width: int = 640, *, ratio: float = 1.0) -> None: ...
@handler("it")
def _choice(colour: Colour, mode: Literal["fast", "slow"] = "fast") -> None: ...
@handler("it")
def _times(at: Annotated[datetime, Meta(tz=True)], day: date | None = None) -> None: ...
@handler("it")
def _bounds(
    tags: Annotated[list[Annotated[str, Meta(pattern="^[a-z]+$")]], Meta(min_length=1)],
) -> None: ...
@handler("it")
def _odd(id: UUID, pair: tuple[int, str], counts: dict[str, int]) -> None: ...  # noqa: A002
@handler("it")
def _money(price: Decimal) -> None: ...
@handler("it")
def _anything(value: Any = None) -> None: ...
@handler("it")
def _none() -> None: ...


ID = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"
CASES: list[tuple[Callable[..., None], list[Any], list[Any]]] = [
    (
        _whole_struct,
        [{"leftEdge": 0}, {"leftEdge": 1, "width": 2}],
        [{}, {"leftEdge": -1}, {"left_edge": 1}, {"leftEdge": 0, "more": 1}, [], None, "x"],
    ),
    (
        _whole_dataclass,
        [{"width": 1}, {"width": 1, "height": None}],
        [{"height": 1}, {"width": "1"}, {"width": 1, "height": 1.5}],
    ),
    (
        _whole_typed_dict,
        [{"item": "a"}, {"item": "a", "count": 2}],
        [{"count": 2}, {"item": 1}, {"item": "a", "count": None}],
    ),
    (
        _union,
        [{"shape": {"type": "Circle", "radius": 1}}, {"shape": {"type": "Square", "side": 2.5}}],
        [{"shape": {"type": "Line"}}, {"shape": {"radius": 1}}, {"shape": {"type": "Circle"}}],
    ),
    (
        _plain,
        [{"url": "x"}, {"url": "", "ratio": 2}, {"url": "x", "width": 0}],
        [{}, {"url": None}, {"url": "x", "width": True}, {"url": "x", "ratio": "1"}, {"uri": "x"}],
    ),
    (
        _choice,
        [{"colour": "red"}, {"colour": "blue", "mode": "slow"}],
        [{"colour": "RED"}, {"colour": "red", "mode": "Slow"}],
    ),
    (
        _times,
        [{"at": "2030-01-31T08:00:00Z"}, {"at": "2030-01-31T08:00:00+02:00", "day": "2030-01-31"}],
        [{"at": "soon"}, {"at": "2030-01-31T08:00:00"}, {"at": 1}, {"at": "2030-02-30T08:00:00Z"}],
    ),
    (_bounds, [{"tags": ["a"]}], [{"tags": []}, {"tags": ["A"]}, {"tags": "a"}, {"tags": [1]}]),
    (
        _odd,
        [
            {"id": ID, "pair": [1, "a"], "counts": {}},
            {"id": ID, "pair": [1, ""], "counts": {"x": 1}},
        ],
        [
            {"id": "1", "pair": [1, "a"], "counts": {}},
            {"id": ID, "pair": [1], "counts": {}},
            {"id": ID, "pair": [1, "a", 2], "counts": {}},
            {"id": ID, "pair": [1, "a"], "counts": {"x": "1"}},
        ],
    ),
    (_money, [{"price": "1.50"}], [{"price": None}, {"price": []}]),
    (_anything, [{}, {"value": [1, {}]}, {"value": None}], [{"valu": 1}, [1]]),
    (_none, [{}], [{"a": 1}, [], 1]),
]


async def _known(function: Callable[..., None]) -> KnownType:
    """The type as an API knows it that has read what a worker registered."""
    infos = Registry.of(function).types()
    texts = [msgspec.json.decode(msgspec.json.encode(info), type=type(info)) for info in infos]

    async def read() -> Any:
        return texts

    catalog = Catalog(read)
    await catalog.look()
    known = catalog.get("it")
    assert known is not None
    return known


def _is_taken(function: Callable[..., None], value: Any) -> bool:
    try:
        read_signature(function, "here").arguments(msgspec.Raw(json.dumps(value).encode()))
    except Fail:
        return False
    return True


@pytest.mark.parametrize(
    ("function", "good", "bad"), CASES, ids=lambda case: getattr(case, "__name__", "")
)
async def test_what_the_api_takes_the_worker_can_do(
    function: Callable[..., None], good: list[Any], bad: list[Any]
) -> None:
    """Else a client hears of its mistake when nobody looks any more, or of none that it made."""
    known = await _known(function)

    for value in good:
        assert known.broken(value) == [], value
        assert _is_taken(function, value), value
    for value in bad:
        assert known.broken(value) != [], value
        assert not _is_taken(function, value) or value is None, value
