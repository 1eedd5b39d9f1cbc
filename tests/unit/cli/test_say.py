"""Words on the terminal."""

from __future__ import annotations

import io
import sys

import pytest
from taskhub.cli import say


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0421, "42.1 ms"),
        (12.34, "12.3 s"),
        (89, "89 s"),
        (600, "10 min"),
        (7_200, "2 h"),
        (200_000, "2.31 d"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds: float, text: str) -> None:
    """For eyes, not for sums."""
    assert say.duration(seconds) == text


def test_columns_are_aligned() -> None:
    """Each as wide as its longest cell; no blanks at the end of a line."""
    assert say.columns(("A", "BB"), [("long", 1), ("x", 22)]) == ["A     BB", "long  1", "x     22"]


def test_an_empty_table_has_its_header() -> None:
    """So that one sees what there is none of."""
    assert say.columns(("A", "B"), []) == ["A  B"]


def test_nothing_printable_can_move_the_cursor() -> None:
    """A title, an error, an answer: none of it is ours."""
    assert say.printable("a\x1b[2J\r\n\u202e\x9b") == "a\\x1b[2J\\r\\n\\u202e\\x9b"
    assert say.printable("Gr\u00fc\u00dfe \u65e5\u672c") == "Gr\u00fc\u00dfe \u65e5\u672c"


def test_a_family_and_a_persian_word_stay_whole() -> None:
    """Zero-width joiners are part of how they are written."""
    title = "\U0001f469\u200d\U0001f467 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert say.printable(title) == title


def test_the_program_is_named_so_that_it_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make demo` it is in .venv/bin, where no shell looks."""
    monkeypatch.setattr("sys.argv", [".venv/bin/taskhub", "demo"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert say.program() == ".venv/bin/taskhub"

    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert say.program() == "taskhub"

    monkeypatch.setattr("sys.argv", ["/lib/taskhub/__main__.py", "demo"])
    assert say.program() == f"{sys.executable} -m taskhub"


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org"""
    monkeypatch.setenv("TERM", "xterm")
    assert say.has_colour(Terminal())
    assert not say.has_colour(io.StringIO())

    monkeypatch.setenv("NO_COLOR", "1")
    assert not say.has_colour(Terminal())
