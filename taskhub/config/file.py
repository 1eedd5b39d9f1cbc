"""Reads `supervisor.toml` into settings that know their line; knows nothing of other places."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskhub.config.keys import (
    FREE,
    NAMED,
    SCHEDULES_SECTION,
    hint_for_key,
    hint_for_section,
    key_of,
    sections,
)
from taskhub.config.schedules import table_named
from taskhub.config.settings import (
    Layer,
    Setting,
    cure_for_open,
    is_open_to_others,
    setting,
)
from taskhub.errors import ConfigProblem

_TABLES = re.compile(r"^\s*\[\[\s*([^\[\]]+?)\s*\]\]")
_NAME = re.compile(r"""^\s*["']?name["']?\s*=\s*(["'])(?P<name>.*?)\1""")
_TABLE = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*((?:["']?[\w-]+["']?\s*\.\s*)*["']?[\w-]+["']?)\s*=""")
_SYNTAX = re.compile(r"^(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)$", re.DOTALL)


def read(path: Path) -> Layer:
    """Every setting of the file; whatever is wrong with it is a problem, never an exception."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        tables = tomllib.loads(text)
    except OSError as error:
        return _failed(_named(path), f"cannot be read: {(error.strerror or str(error)).lower()}")
    except UnicodeDecodeError as error:
        return _failed(_named(path), f"expected UTF-8, byte {error.start} is not")
    except tomllib.TOMLDecodeError as error:
        return _failed(*_where(path, str(error)))
    except RecursionError:
        return _failed(_named(path), "nested too deeply")
    return _layer(path, tables, lines(text))


def lines(text: str) -> Mapping[str, int]:
    """The line of each key and table, by a scan that is right for usual files."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if tables := _TABLES.match(line):
            table = f"{_bare(tables[1])}[]"
        elif one := _TABLE.match(line):
            table = _bare(one[1])
            found.setdefault(table, number)
        elif name := _named_by(line, table):
            found.setdefault(name, number)
    return found


def _named_by(line: str, table: str) -> str:
    """The key that a line of a table sets, or the table that it gives its name; empty: neither."""
    if table.endswith("[]") and (match := _NAME.match(line)):
        return f"{table.removesuffix('[]')}.{match['name']}"
    match = _KEY.match(line)
    return f"{table}.{_bare(match[1])}".lstrip(".") if match else ""


def _bare(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _failed(place: str, expected: str) -> Layer:
    return Layer(problems=(ConfigProblem(place, expected),))


def _named(path: Path) -> str:
    """The path as a person here would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _where(path: Path, message: str) -> tuple[str, str]:
    """Line and column as editors read them, and the rest of what the parser says."""
    if match := _SYNTAX.match(message):
        return f"{_named(path)}:{match['line']}:{match['column']}", _sentence(match["what"])
    return _named(path), _sentence(message)


def _sentence(text: str) -> str:
    return f"not TOML: {text[:1].lower()}{text[1:]}"


def _layer(path: Path, tables: Mapping[str, Any], where: Mapping[str, int]) -> Layer:
    found = [_placed(path, where, item) for item in _walk(tables)]
    settings = [item for item in found if isinstance(item, Setting)]
    problems = [item for item in found if isinstance(item, ConfigProblem)]
    problems += _twins(settings)
    secret = next((s for s in settings if s.key.is_secret and s.value), None)
    if secret and is_open_to_others(path):
        problems.append(ConfigProblem(f"{secret.origin}: {secret.key.path}", cure_for_open(path)))
    return Layer(settings, problems, tuple(_doubts(path)))


def _twins(settings: Sequence[Setting]) -> Iterator[ConfigProblem]:
    """TOML itself refuses keys that come twice; two schedules of one name it cannot see."""
    seen: set[str] = set()
    for item in settings:
        if item.key.path in seen:
            yield ConfigProblem(f"{item.origin}: {item.key.path}", "expected one of this name")
        seen.add(item.key.path)


def _doubts(path: Path) -> Iterator[str]:
    if path.stat().st_mode & stat.S_IWOTH:
        yield f"{_named(path)}: anybody may change this file: chmod o-w {path}"


def _placed(path: Path, where: Mapping[str, int], item: tuple[str, Any]) -> Setting | ConfigProblem:
    """The setting with its line, or what is wrong with the key."""
    name, value = item
    line = where.get(name) or where.get(name.rpartition(".")[0])
    origin = f"{_named(path)}:{line}" if line else _named(path)
    if known := key_of(name):
        return setting(known, value, origin)
    section, _, key = name.partition(".")
    return ConfigProblem(f"{origin}: {name}", _unknown(section, key))


def _unknown(section: str, key: str) -> str:
    if section not in sections() and section not in FREE:
        return f"unknown section{hint_for_section(section)}"
    wanted = f"[[{section}]]" if section == SCHEDULES_SECTION else f"[{section}]"
    return f"unknown key{hint_for_key(section, key)}" if key else f"expected a table {wanted}"


def _walk(tables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each `section.key` with its value; an unknown section once, as a whole."""
    for section, table in tables.items():
        known = section in sections() or section in FREE
        if section == SCHEDULES_SECTION and _is_list_of_tables(table):
            named = (table_named(number, each) for number, each in enumerate(table, 1))
            yield from ((f"{section}.{name}", rest) for name, rest in named)
        elif known and section != SCHEDULES_SECTION and isinstance(table, dict):
            yield from _keys(section, table)
        else:
            yield section, table


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _keys(section: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    tables, _ = NAMED.get(section, ("", None))
    for key, value in table.items():
        yield from _flat(f"{section}.{key}", value, 2 if key == tables else 0)


def _flat(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """The keys of tables in tables; what is no table, or is empty, as it stands."""
    if not depth or not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, inner in value.items():
        yield from _flat(f"{path}.{name}", inner, depth - 1)
