"""One value from one place, and what a place gives: what `load` merges; no reading."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from taskhub.config.keys import Key
from taskhub.config.sections import Secret
from taskhub.errors import ConfigProblem

SHOWN = 60  # characters of a wrong value that a message repeats
_USERINFO = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")


class Setting(msgspec.Struct, frozen=True):
    """A value for one key, and where it was found; a secret is a `Secret` from here on."""

    key: Key
    value: Any
    origin: str
    is_text: bool = False
    """The place knows texts only (environment, command line): numbers are read from them."""


class Layer(msgspec.Struct, frozen=True):
    """What one place gives: settings, and what is wrong or doubtful there."""

    settings: Sequence[Setting] = ()
    problems: Sequence[ConfigProblem] = ()
    warnings: Sequence[str] = ()


def setting(key: Key, value: Any, origin: str, *, is_text: bool = False) -> Setting:
    """A setting whose secret, if it is one, can no longer show itself."""
    if key.is_secret:
        value = Secret(value) if isinstance(value, str) else None  # what is no text may not show
    return Setting(key, value, origin, is_text)


def shown(key: Key, value: Any) -> str:
    """The value for the eyes of a person: secrets masked, long texts cut, one line."""
    if key.is_secret:
        return "***" if value else "(empty)"
    if key.is_address:
        return _host_of(value)
    if isinstance(value, str):
        return masked_url(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(masked_url(str(item)) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def masked_url(text: str) -> str:
    """The text with a password in a URL hidden."""
    return _USERINFO.sub("***", text)


def _host_of(url: str) -> str:
    """Where a URL leads, without its path: that may be as good as a password."""
    scheme, mark, rest = masked_url(url).partition("://")
    host, *path = re.split(r"[/?#]", rest, maxsplit=1)
    return f"{scheme}{mark}{host}{'/...' if path else ''}"


def repeated(key: Key, value: Any) -> str:
    """`, not ...` for a message about a wrong value; nothing for a secret."""
    if key.is_secret:
        return ""
    if isinstance(value, (dict, list)) and not key.is_list:
        return f", not a {'table' if isinstance(value, dict) else 'list'}"
    text = ascii(masked_url(str(value)))[1:-1]
    return f", not {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}"


def is_open_to_others(path: Path) -> bool:
    """Whether any account of this machine may read the file: its mode, and its folders' modes."""
    path = path.resolve()
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def cure_for_open(path: Path) -> str:
    """What to do about a file with a secret that others may read."""
    return f"others may read this secret: chmod o-r {path}"
