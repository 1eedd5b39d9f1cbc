"""How a payload becomes _arguments."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from taskhub import Fail, Job
from taskhub.errors import ConfigProblem
from taskhub.work.signature import Function, read_signature


@dataclass
class _Size:
    width: int
    height: int


class _Node(msgspec.Struct):
    children: list[_Node] = []


def _arguments(function: Function, payload: Any) -> dict[str, Any]:
    raw = msgspec.Raw(json.dumps(payload).encode())
    return read_signature(function, "here").arguments(raw)


def _nothing() -> None: ...
def _typed(url: str, *, size: _Size, quality: Annotated[int, Meta(le=100)] = 80) -> None: ...
def _whole(job: Job, payload: dict[str, int]) -> None: ...
def _whole_of_any(payload) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001 - on purpose
def _member(payload: str, other: int = 0) -> None: ...
def _tree(payload: _Node) -> None: ...
def _shared(tags: list[str] = ["a"]) -> None: ...  # noqa: B006 - on purpose


def test_members_become_arguments_by_name_and_type() -> None:
    """Nested types are built too, defaults stand where the payload says nothing."""
    found = _arguments(_typed, {"url": "x", "size": {"width": 1, "height": 2}})

    assert found == {"url": "x", "size": _Size(1, 2), "quality": 80}


def test_one_parameter_named_payload_takes_it_whole() -> None:
    """With its annotation; the job beside it does not count."""
    assert _arguments(_whole, {"a": 1}) == {"payload": {"a": 1}}
    assert _arguments(_whole_of_any, [1, None]) == {"payload": [1, None]}


def test_beside_others_payload_is_a_name_like_any_other() -> None:
    """Else adding a parameter would change what the first one gets."""
    assert _arguments(_member, {"payload": "x"}) == {"payload": "x", "other": 0}


def test_no_payload_is_a_payload_without_members() -> None:
    """A task that was created without one has null."""
    assert _arguments(_nothing, None) == {}


@pytest.mark.parametrize(
    ("function", "payload", "expected"),
    [
        (_typed, {"size": {"width": 1, "height": 2}}, "missing required field `url`"),
        (_typed, {"url": 1, "size": {"width": 1, "height": 2}}, r"Expected `str`, got `int`"),
        (_typed, {"url": "x", "size": {"width": 1}}, r"`height` - at `\$.size`"),
        (_typed, {"url": "x", "size": {"width": 1, "height": 2}, "quality": 101}, "<= 100"),
        (_nothing, {"surprise": 1}, "unknown field `surprise`"),
        (_nothing, [1], "Expected `object`"),
        (_whole, {"a": "x"}, "Expected `int`"),
    ],
)
def test_a_payload_that_does_not_fit_fails_with_the_reason(
    function: Function, payload: Any, expected: str
) -> None:
    """At once and for good: another attempt would find the same payload."""
    with pytest.raises(Fail, match=f"wrong payload: .*{expected}"):
        _arguments(function, payload)


@pytest.mark.parametrize(
    "before",
    [
        "job: Job, url: str",
        "url: str, job: Job",
        "url: str, *, job: Job",
        "url: str, job: Job | None",
    ],
)
def test_the_job_may_stand_anywhere(before: str) -> None:
    """It is found by its annotation, not by its place or name."""
    space: dict[str, Any] = {"Job": Job}
    exec(f"def function({before}): ...", space)  # noqa: S102 - our own text

    signature = read_signature(space["function"], "here")

    assert signature.job == "job"
    assert signature.arguments(msgspec.Raw(b'{"url":"x"}')) == {"url": "x"}


def test_the_job_may_be_imported_for_type_checkers_only() -> None:
    """Linters move such imports; the handler must not break by that."""
    space: dict[str, Any] = {}
    code = """
        from __future__ import annotations
        def function(context: Job) -> None: ...
    """
    exec(textwrap.dedent(code), space)  # noqa: S102 - our own text

    assert read_signature(space["function"], "here").job == "context"


def _many_jobs(one: Job, two: Job) -> None: ...
def _rest(*values: int) -> None: ...
def _named_rest(**values: int) -> None: ...
def _only_positional(value: int, /) -> None: ...
def _no_json(value: re.Pattern[str], other: complex) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - on purpose
def _custom(value: Job | int, other: type) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (_many_jobs, "at most one parameter annotated `Job`"),
        (_rest, "`values`"),
        (_named_rest, "`values`"),
        (_only_positional, "`value`"),
        (_no_json, "annotations that can be read"),
        (_custom, "parameters that JSON can give"),
    ],
)
def test_a_signature_that_cannot_be_served_is_refused_at_its_place(
    function: Function, expected: str
) -> None:
    """At start, with the handler's name, instead of at the first task."""
    with pytest.raises(ConfigProblem, match=f"here: .*{expected}"):
        read_signature(function, "here")


def test_a_type_that_refers_to_itself_has_a_schema() -> None:
    """Its reference must still lead somewhere."""
    schema = read_signature(_tree, "here").schema

    assert schema["$ref"].rpartition("/")[2] in schema["$defs"]


def test_a_default_is_the_function_s_own() -> None:
    """Also a mutable one, as wherever Python calls a function."""
    assert _arguments(_shared, {}) == {"tags": ["a"]}
