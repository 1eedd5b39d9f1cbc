"""Puts words on the terminal: data on stdout, everything else on stderr; decides nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

NAME = "taskhub"
GAP = "  "
JOINERS = "\u200c\u200d"
"""They shape letters and emoji, and move nothing: Persian, Hindi and families need them."""


def data(line: str = "", *, colour: str | None = None) -> None:
    """A line of what was asked for."""
    click.echo(_coloured(line, colour, sys.stdout), color=True)


def note(line: str = "", *, colour: str | None = None) -> None:
    """A line for the person who looks on; a pipe never sees it."""
    click.echo(_coloured(line, colour, sys.stderr), err=True, color=True)


def document(value: Any) -> None:
    """A JSON document: indented for eyes, one line for a program."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent))


def json_line(value: Any) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns; the last one is as long as it needs."""
    for line in columns(header, rows):
        data(line)


def listing(
    items: Iterable[dict[str, Any]],
    header: Sequence[str],
    row: Callable[[dict[str, Any]], Sequence[object]],
    *,
    as_json: bool,
) -> None:
    """A table with a row for each item, or one line of JSON for each."""
    if not as_json:
        table(header, map(row, items))
        return
    for item in items:
        json_line(item)


def members(
    value: Mapping[str, Any],
    as_json: Collection[str] = (),
    colours: Mapping[str, str] | None = None,
) -> None:
    """A line for each member that says something: texts as they are, all else as JSON.

    Those of `as_json` are JSON in any case; `colours` are those of the member `status`.
    """
    width = max(map(len, value))
    for name, each in value.items():
        if each not in (None, []):
            is_text = isinstance(each, str) and name not in as_json
            text = each if is_text else json.dumps(each, ensure_ascii=False)
            colour = (colours or {}).get(text) if name == "status" else None
            data(f"{name.ljust(width)}  {printable(text)}", colour=colour)


def columns(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table, its header first."""
    texts = [list(header), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [_line(row, widths) for row in texts]


def program() -> str:
    """How a person at this terminal calls us: by our path where the shell would not find us."""
    called = Path(sys.argv[0])
    if called.name != NAME:  # python -m
        return f"{sys.executable} -m {NAME}"
    return NAME if shutil.which(NAME) else str(called)


def printable(text: str) -> str:
    """The text without anything that would move the cursor or colour the terminal."""
    return "".join(c if _is_plain(c) else c.encode("unicode_escape").decode() for c in text)


def has_colour(stream: TextIO) -> bool:
    """Whether colours are welcome there (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def tasks(count: int) -> str:
    """`1 task`, `1,204 tasks`."""
    return f"{count:,} task{'' if count == 1 else 's'}"


def moment(time: str | None) -> str:
    """A time of the API to the second, in UTC; `-` where there is none."""
    return "-" if time is None else time[:19].replace("T", " ")


def duration(seconds: float) -> str:
    """`2.5 ms`, `12 s`, `3 min`, `5 h`, `2 d`: enough for eyes."""
    if seconds < 1:
        return f"{seconds * 1_000:.3g} ms"
    for limit, unit, size in ((90, "s", 1), (5_400, "min", 60), (129_600, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} d"


def _is_plain(character: str) -> bool:
    return character.isprintable() or character in JOINERS


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _coloured(line: str, colour: str | None, stream: TextIO) -> str:
    return click.style(line, fg=colour) if colour and has_colour(stream) else line
