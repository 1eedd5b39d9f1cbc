"""Nothing grows too big to read at a glance."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.style.tree import ROOT, files

FUNCTION, FILE, PARAMETERS, NESTING = 40, 400, 5, 4
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines(function: Function) -> int:
    """Length of the body without its docstring: words are free."""
    has_words = ast.get_docstring(function) is not None and len(function.body) > 1
    first = function.body[1 if has_words else 0]
    return (function.end_lineno or first.lineno) - first.lineno + 1


def parameters(function: Function) -> int:
    """Positional ones; keyword-only parameters name themselves at the call."""
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def nesting(node: ast.AST) -> int:
    """How many blocks deep the deepest statement stands; an `elif` is as deep as its `if`."""
    inner = 0
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and [child] == node.orelse
        inner = max(inner, nesting(child) - is_elif)
    return inner + isinstance(node, BLOCKS)


def too_long(source: str) -> Iterator[str]:
    """One line when the file is past its size."""
    if (count := source.count("\n")) > FILE:
        yield f"1: {count} lines in the file"


def too_big(source: str) -> Iterator[str]:
    """One line for each function past its size."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, Function):
            continue
        for count, limit, what in (
            (lines(node), FUNCTION, "lines"),
            (parameters(node), PARAMETERS, "positional parameters"),
            (nesting(node), NESTING, "blocks deep"),
        ):
            if count > limit:
                yield f"{node.lineno}: {node.name}: {count} {what}"


def test_every_file_of_the_program_is_short_enough_to_find_things_in() -> None:
    """A file is one role; a file of tests may be as long as what it tests has sides."""
    rows = [
        f"{path.relative_to(ROOT)}:{row}"
        for path in files("taskhub/*.py", "benchmarks/*.py")
        for row in too_long(path.read_text(encoding="utf-8"))
    ]

    assert rows == []


def test_everything_is_small_enough_to_read() -> None:
    """A reader holds a page in mind, not a chapter."""
    rows = [
        f"{path.relative_to(ROOT)}:{row}"
        for path in files("*.py")
        for row in too_big(path.read_text(encoding="utf-8"))
    ]

    assert rows == []


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ("def f():\n" + "    x()\n" * 41, "1: f: 41 lines"),
        ("def f(a, b, c, d, e, g): ...", "1: f: 6 positional parameters"),
        ("def f():\n if 1:\n  if 1:\n   if 1:\n    if 1:\n     if 1: x()", "1: f: 5 blocks deep"),
    ],
)
def test_what_is_too_big_is_named(source: str, row: str) -> None:
    """The ruler itself measures."""
    assert list(too_big(source)) == [row]
    assert list(too_long("x\n" * 401)) == ["1: 401 lines in the file"]


def test_words_keywords_self_and_elif_are_free() -> None:
    """The ruler must not push people to write less documentation."""
    words = '    """' + "word\n" * 60 + '    """\n'
    chain = "    if a: x()\n" + "    elif b: x()\n" * 9
    method = f"class C:\n  def f(self, a, b, c, d, e, *, g=1):\n{words}{chain}"

    assert list(too_big(method)) == []
