"""Reads `Section__Key` variables, their `_FILE` twins and systemd credentials into settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from taskhub.config.keys import (
    Key,
    hint_for_key,
    hint_for_section,
    key_named,
    section_named,
    sections,
)
from taskhub.config.settings import Layer, Setting, cure_for_open, is_open_to_others, setting
from taskhub.errors import ConfigProblem

PREFIX = "taskhub__"
SEPARATOR = "__"
FILE_SUFFIX = "_file"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
SECRET_FILE_LIMIT = 65_536  # bytes; a key is far shorter

FROM_SYSTEMD = frozenset(
    {
        CREDENTIALS,
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "RUNTIME_DIRECTORY",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)
"""What systemd says to one process and nobody else."""

Found = Setting | ConfigProblem


def read(environ: Mapping[str, str]) -> Layer:
    """Every setting that the variables make; foreign ones are left alone."""
    found = [item for name in sorted(environ) for item in _variable(name, environ[name])]
    settings = [item for item in found if isinstance(item, Setting)]
    problems = [item for item in found if isinstance(item, ConfigProblem)]
    return Layer(settings, [*problems, *_contradictions(settings)], tuple(_doubtful(environ)))


def read_credentials(environ: Mapping[str, str]) -> Layer:
    """Every setting that systemd hands over as a file `section.key` in `$CREDENTIALS_DIRECTORY`."""
    directory = environ.get(CREDENTIALS)
    if not directory:
        return Layer()
    try:
        files = sorted(Path(directory).iterdir())
    except OSError as error:
        return Layer(problems=(ConfigProblem(CREDENTIALS, _unreadable(error)),))
    found = [item for path in files for item in _credential(path)]
    return Layer(
        [item for item in found if isinstance(item, Setting)],
        [item for item in found if isinstance(item, ConfigProblem)],
    )


def foreign(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that do not speak to TaskHub: for one that shall know only what it is told."""
    return {
        name: value
        for name, value in environ.items()
        if not (_has_prefix(name) or _parted(name)[0] or name in FROM_SYSTEMD or _is_own(name))
    }


def _is_own(name: str) -> bool:
    return name.startswith("TASKHUB_")


def _parted(name: str) -> tuple[str | None, str]:
    """(section, rest) of a variable that is ours; (None, "") of a foreign one."""
    bare = name[len(PREFIX) :] if _has_prefix(name) else name
    section, separator, rest = bare.partition(SEPARATOR)
    return (section_named(section), rest) if separator and section else (None, "")


def _has_prefix(name: str) -> bool:
    return name.lower().startswith(PREFIX)


def _variable(name: str, value: str) -> Iterable[Found]:
    section, rest = _parted(name)
    if section is None:
        if _has_prefix(name):
            wrong = name[len(PREFIX) :].partition(SEPARATOR)[0]
            yield ConfigProblem(name, f"unknown section{hint_for_section(wrong)}")
        return
    if rest.lower().endswith(FILE_SUFFIX):
        if key := key_named(section, rest[: -len(FILE_SUFFIX)]):
            yield from _from_file(key, Path(value), name)
            return
    elif key := key_named(section, rest):
        yield setting(key, value, name, is_text=True)
        return
    yield ConfigProblem(name, f"unknown key{hint_for_key(section, rest)}")


def _credential(path: Path) -> Iterable[Found]:
    section, separator, rest = path.name.partition(".")
    known = section_named(section)
    if not separator or known is None:
        return
    origin = f"credential {path.name}"
    if key := key_named(known, rest):
        yield from _from_file(key, path, origin)
    else:
        yield ConfigProblem(origin, f"unknown key{hint_for_key(known, rest)}")


def _from_file(key: Key, path: Path, origin: str) -> Iterable[Found]:
    """The file's content without its last newline."""
    try:
        if key.is_secret and is_open_to_others(path):
            yield ConfigProblem(f"{origin}: {key.path}", cure_for_open(path))
        yield setting(key, _content(path), origin, is_text=True)
    except OSError as error:
        yield ConfigProblem(f"{origin}: {key.path}", _unreadable(error))
    except ValueError as error:
        yield ConfigProblem(f"{origin}: {key.path}", str(error))


def _content(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(SECRET_FILE_LIMIT + 1)
    if len(data) > SECRET_FILE_LIMIT:
        raise ValueError(f"the file is longer than {SECRET_FILE_LIMIT} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None  # the error's text holds the bytes
    return text.removesuffix("\n").removesuffix("\r")


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or 'failed').lower()}"


def _contradictions(settings: Iterable[Setting]) -> Iterable[ConfigProblem]:
    """One key, two variables, two values: nobody can know which is meant."""
    first: dict[str, Setting] = {}
    for item in settings:
        other = first.setdefault(item.key.path, item)
        if other.value != item.value:
            yield ConfigProblem(item.key.path, f"{other.origin} and {item.origin} differ: keep one")


def _doubtful(environ: Mapping[str, str]) -> Iterable[str]:
    """Variables that look as if they were meant for us."""
    known = {name.lower(): name for name in sections()}
    for name in sorted(environ):
        section, separator, rest = name.partition(SEPARATOR)
        if not separator or _has_prefix(name) or section_named(section):
            continue
        near = difflib.get_close_matches(section.lower(), known, n=1, cutoff=0.66)
        if near and key_named(near[0], rest):
            yield f"{name} is not ours and is ignored: did you mean {near[0]}{SEPARATOR}{rest}?"
