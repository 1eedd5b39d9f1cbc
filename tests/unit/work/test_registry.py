"""How handlers are marked, found and described."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taskhub import Backoff, Unique, handler
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.model import Status
from taskhub.work import registry
from taskhub.work.registry import Registry, discover


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of a user's own modules; what was imported from it is forgotten."""
    known, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def _write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


def _problems_of(modules: list[str], folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        discover(modules, folder=folder)
    return [problem.detail for problem in caught.value.problems]


def test_marked_functions_of_a_module_are_found(folder: Path) -> None:
    """Nothing registers itself: the mark is on the function, the module is named in the file."""
    _write(folder, "pictures", "from taskhub import handler\n@handler('crop')\ndef crop(): ...\n")

    found = discover(["pictures"], folder=folder)

    assert set(found) == {"crop", "simulate", "transform", "fail"}
    assert not found["crop"].is_async


def test_a_handler_that_two_modules_import_counts_once(folder: Path) -> None:
    """A package's `__init__` shows what its modules hold."""
    _write(folder, "inner", "from taskhub import handler\n@handler('crop')\ndef crop(): ...\n")
    _write(folder, "outer", "from inner import crop\n")

    assert "crop" in discover(["inner", "outer"], folder=folder)


def test_every_mistake_is_listed_at_once_with_its_key(folder: Path) -> None:
    """One run of `taskhub check` tells all."""
    _write(folder, "empty", "")
    _write(folder, "broken", "1 / 0\n")
    _write(folder, "leaving", "raise SystemExit(3)\n")

    problems = _problems_of(["missing", "empty", "broken", "leaving"], folder)

    assert [re.sub(r":.*", "", problem) for problem in problems] == [
        "work.handlers (missing)",
        "work.handlers (empty)",
        "work.handlers (broken)",
        "work.handlers (leaving)",
    ]
    assert "No module named 'missing'" in problems[0]
    assert "@handler" in problems[1]
    assert "ZeroDivisionError" in problems[2]


def test_a_name_used_twice_names_both_functions(folder: Path) -> None:
    """Which of the two would run must not depend on an order."""
    text = "from taskhub import handler\n@handler('crop')\ndef {}(): ...\n"
    _write(folder, "one", text.format("first"))
    _write(folder, "two", text.format("second"))

    (problem,) = _problems_of(["one", "two"], folder)

    assert problem.startswith("work.handlers (two): ")
    assert "`crop` is one.first and two.second" in problem


def test_entry_points_of_installed_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of handlers needs no line in the configuration."""
    point = importlib.metadata.EntryPoint("ours", f"{__name__}:_packaged", registry.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])

    assert discover([], built_in=False).names == ("packaged",)


@handler("packaged", queue="images", timeout=30, attempts=3, backoff=Backoff(base=2))
async def _packaged(url: str, width: int = 640) -> dict[str, Any]:
    return {"url": url, "width": width}


def test_a_type_is_described_by_its_schema_and_its_defaults() -> None:
    """The API checks payloads and fills in new tasks from this alone."""
    (info,) = Registry.of(_packaged).types()

    assert (info.defaults.queue, info.defaults.timeout_seconds) == ("images", 30)
    assert info.defaults.max_attempts == 3
    assert info.schema == {
        "type": "object",
        "properties": {
            "url": {"type": "string"},
            "width": {"type": "integer", "default": 640},
        },
        "required": ["url"],
        "additionalProperties": False,
        "x-taskhub": {"queue": "images", "timeoutSeconds": 30, "maxAttempts": 3},
    }


def test_a_handler_is_still_the_function_it_was() -> None:
    """User code and its tests call it as any other."""
    assert _packaged.__name__ == "_packaged"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"name": "no spaces"}, "a name of letters"),
        ({"name": "a", "queue": ""}, "a queue of letters"),
        ({"name": "a", "timeout": 0}, "a timeout of more"),
        ({"name": "a", "timeout": float("inf")}, "a timeout of more"),
        ({"name": "a", "attempts": 0}, "at least 1 attempt"),
        ({"name": "a", "keep_result": -1}, "keep_result of 0 seconds"),
        ({"name": "a", "keep_result": float("nan")}, "keep_result of 0 seconds"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(wrong: dict[str, Any], expected: str) -> None:
    """When the module is imported, not when the first task comes."""
    with pytest.raises(ConfigProblem, match=expected):
        handler(**wrong)


def test_a_function_has_one_name() -> None:
    """The mark is an attribute: a second would silently replace the first."""
    with pytest.raises(ConfigProblem, match="no other name"):
        handler("again")(_packaged)


def test_a_generator_is_no_handler() -> None:
    """It would be called, and never run."""

    @handler("stream")
    def stream() -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="no generator"):
        Registry.of(stream)


def test_a_handler_may_say_which_of_its_tasks_are_the_same() -> None:
    """The API reads it with the type's other defaults."""

    @handler("sync", unique=Unique(by=("customer",), seconds=60))
    def sync(customer: int, region: str = "eu") -> None:
        del customer, region

    (info,) = Registry.of(sync).types()

    assert info.schema["x-taskhub"]["unique"] == {"by": ["customer"], "seconds": 60}
    assert info.defaults.unique == Unique(by=("customer",), seconds=60)


@pytest.mark.parametrize(
    "unique",
    [
        Unique(by=()),
        Unique(by="url"),  # type: ignore[arg-type]
        Unique(key="k", by=("url",)),
        Unique(key="k" * 201),
        Unique(seconds=0),
        Unique(states=(Status.DONE,)),
        "url",
    ],
    ids=repr,
)
def test_a_unique_that_makes_no_sense_is_refused_where_it_stands(unique: Any) -> None:
    """Before any task is lost to it."""
    with pytest.raises(ConfigProblem, match="unique"):
        handler("sync", unique=unique)


def test_a_name_that_is_no_parameter_is_refused() -> None:
    """All tasks of the type would be the same one."""

    @handler("sync", unique=Unique(by=("custommer",)))
    def sync(customer: int) -> None:
        del customer

    with pytest.raises(ConfigError, match="not `custommer`"):
        Registry.of(sync)


def test_who_takes_the_payload_whole_may_name_any_member() -> None:
    """Nobody can say here which members it has."""

    @handler("sync", unique=Unique(by=("anything",)))
    def sync(payload: dict[str, Any]) -> None:
        del payload

    assert Registry.of(sync)["sync"].mark.unique == Unique(by=("anything",))


def test_a_type_may_have_the_names_that_it_had_once() -> None:
    """After a deploy that renames it, tasks of the old name are done by the new code."""

    @handler("scale", aliases=("resize", "shrink"), queue="images")
    def scale(url: str) -> str:
        return url

    registry = Registry.of(scale)

    assert registry.names == ("resize", "scale", "shrink")
    assert {registry[name].function for name in registry} == {scale}
    old, new, _ = registry.types()
    assert (old.name, new.name) == ("resize", "scale")
    assert old.schema == new.schema


def test_an_alias_is_a_name_like_any_other() -> None:
    """It has the same letters, and nobody else has it."""
    with pytest.raises(ConfigProblem, match="letters"):
        handler("a", aliases=("no name",))

    @handler("one", aliases=("both",))
    def one() -> None: ...

    @handler("both")
    def both() -> None: ...

    with pytest.raises(ConfigError, match=r"`both` is .*one and .*both"):
        Registry.of(one, both)
