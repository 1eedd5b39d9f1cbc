"""Makes one log line for people at a terminal: columns, colours where they are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from taskhub.obs.clef import UNSAFE, Fields, Render, cut, plain, utc_now
from taskhub.obs.telemetry import Level

Look = Literal["clef", "console", "colour", "journal", "journal-console"]
"""How lines look: JSON, or columns without or with colours, or one of both for the journal."""

_SHOWN = frozenset({"@t", "@m", "@i", "@l", "@x", "lvl", "app", "unit", "ActorId"})
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f]|{UNSAFE.pattern}")
_WORDS = {
    Level.DEBUG.value: ("debug", "\x1b[2m"),
    Level.INFO.value: ("info ", "\x1b[32m"),
    Level.WARNING.value: ("WARN ", "\x1b[33m"),
    Level.ERROR.value: ("ERROR", "\x1b[1;31m"),
}
_DIM, _END = "\x1b[2m", "\x1b[0m"


def look(
    setting: str, *, terminal: bool, environment: Mapping[str, str], journal: bool = False
) -> Look:
    """What `[logs] format` means here: `auto` is columns on a terminal and JSON elsewhere.

    A non-empty NO_COLOR (no-color.org) or a dumb terminal takes the colours away.
    """
    if journal:
        return "journal-console" if setting == "console" else "journal"
    if setting == "clef" or (setting == "auto" and not terminal):
        return "clef"
    bare = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return "colour" if terminal and not bare else "console"


def console(*, colour: bool, clock: Callable[[], datetime] | None = utc_now) -> Render:
    """Render fields as `22:17:17.123 info  worker-1/pool  TaskProcessed ...  Queue=default`.

    Without a clock there is no time: whoever gets the lines knows it.
    """

    def render(_logger: Any, _method: str, fields: Fields) -> bytes:
        shown = cut(plain(fields))
        word, paint = _WORDS[shown["lvl"]]
        time = f"{clock().astimezone():%H:%M:%S.%f}"[:-3] if clock else ""
        who = f"{safe(shown.get('ActorId') or shown['unit']):<19}"
        message, rest = safe(shown["@m"]), _rest(shown)
        if colour:
            time, word, rest = f"{_DIM}{time}{_END}", f"{paint}{word}{_END}", _dimmed(rest)
        line = f"{time} {word} {who} {message}{rest}{_trace(shown)}"
        return line.lstrip().encode()

    return render


def safe(value: Any) -> str:
    """Text that cannot move a cursor or begin a line: control characters are written out."""
    return _CONTROLS.sub(_written_out, str(value)).replace("\n", "\\n").replace("\t", " ")


def _written_out(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def _rest(shown: Mapping[str, Any]) -> str:
    """The properties that the sentence has not told."""
    message = str(shown["@m"])
    told = [
        f"{safe(name)}={safe(value)}"
        for name, value in shown.items()
        if not (name in _SHOWN or value is None)
        and not (name.endswith("Ms") or _is_in(value, message))
    ]
    return f"  {' '.join(told)}" if told else ""


def _is_in(value: Any, message: str) -> bool:
    if isinstance(value, list):
        return all(str(item) in message for item in value)
    return str(value) in message


def _dimmed(rest: str) -> str:
    return f"{_DIM}{rest}{_END}" if rest else ""


def _trace(shown: Mapping[str, Any]) -> str:
    lines = str(shown.get("@x", "")).splitlines()
    return "".join(f"\n    {safe(line)}" for line in lines)
