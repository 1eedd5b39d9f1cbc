"""Which handlers there are: the `@handler` mark, how marked functions are found, and the table."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from taskhub.backoff import Backoff
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.keys import unique_problems
from taskhub.model import DEFAULTS_KEY, NAME_PATTERN, TypeDefaults, TypeInfo, Unique
from taskhub.work.rules import Rules, check
from taskhub.work.signature import Function, Signature, read_signature

MARK = "__taskhub__"
SCHEDULED = "__taskhub_schedules__"
"""The marks of `@handler` and of `@schedule`."""
GROUP = "taskhub.handlers"
"""Entry points of this group name a module, or one handler, of an installed package."""
KEY = "work.handlers"
KEEP_MOST = 100 * 366 * 86_400.0
BUILT_IN = "taskhub.work.builtins"

_DEFAULT_BACKOFF = Backoff()
_NO_RULES: Rules = MappingProxyType({})
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Mark:
    """What `@handler` says about a function."""

    name: str
    queue: str
    timeout: float
    attempts: int
    backoff: Backoff
    on_error: Rules
    unique: Unique | None
    aliases: tuple[str, ...] = ()
    cpu: bool = False
    keep_result: float | None = None


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """One type of task and the function that does it."""

    name: str
    mark: Mark
    function: Function
    is_async: bool
    signature: Signature

    @property
    def info(self) -> TypeInfo:
        """How the type is made known: its payload's schema, with its defaults under `x-taskhub`."""
        defaults = TypeDefaults(
            queue=self.mark.queue,
            timeout_seconds=self.mark.timeout,
            max_attempts=self.mark.attempts,
            unique=UNSET if self.mark.unique is None else self.mark.unique,
            keep_result_seconds=UNSET if self.mark.keep_result is None else self.mark.keep_result,
        )
        schema = {**self.signature.schema, DEFAULTS_KEY: _plain(defaults)}
        return TypeInfo(self.name, schema)


def _plain(defaults: TypeDefaults) -> Any:
    """As it will be read back: a list, not a tuple."""
    return msgspec.json.decode(msgspec.json.encode(defaults))


class Registry(Mapping[str, HandlerSpec]):
    """Handlers by the name of their type; never changes once made."""

    __slots__ = ("_specs",)

    def __init__(self, specs: Iterable[HandlerSpec] = ()) -> None:
        self._specs = {spec.name: spec for spec in specs}

    @classmethod
    def of(cls, *functions: Function) -> Registry:
        """A registry of just these marked functions; raises ConfigError as `discover` does."""
        return _registry([(KEY, function) for function in functions], [])

    def __getitem__(self, name: str) -> HandlerSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    @property
    def names(self) -> tuple[str, ...]:
        """The types that can be done here, in order."""
        return tuple(sorted(self._specs))

    @property
    def computing(self) -> tuple[str, ...]:
        """Those that are done in processes of their own."""
        return tuple(name for name, spec in self._specs.items() if spec.mark.cpu)

    def types(self) -> list[TypeInfo]:
        """Every type with its schema and defaults, by name."""
        return [self._specs[name].info for name in self.names]


def handler(
    name: str,
    *,
    queue: str = "default",
    timeout: float = 60.0,
    attempts: int = 5,
    backoff: Backoff = _DEFAULT_BACKOFF,
    on_error: Rules = _NO_RULES,
    unique: Unique | None = None,
    aliases: Sequence[str] = (),
    cpu: bool = False,
    keep_result: float | None = None,
) -> Callable[[F], F]:
    """Mark a function as the handler of the type `name`; `timeout` is in seconds.

    `queue`, `timeout`, `attempts` and `unique` are what a task gets whose creator says nothing
    else; `backoff` is how long to wait between attempts, `on_error` what becomes of a task when
    it raises this or that; `aliases` are other names of the type, such as those that it had once.
    `keep_result` is for how many seconds its results are kept (0: as long as their tasks), where
    the configuration says something else.
    An `async def` runs in the event loop, a `def` in a thread; with `cpu` both run in a process of
    their own, which is killed at their time limit. Raises ConfigProblem when a value makes no
    sense.
    """
    rules = MappingProxyType(dict(on_error))
    mark = Mark(
        name, queue, timeout, attempts, backoff, rules, unique, tuple(aliases), cpu, keep_result
    )
    _check(mark)

    def marked(function: F) -> F:
        if MARK in vars(function):
            raise ConfigProblem(f"@handler({name!r})", "expected a function with no other name")
        setattr(function, MARK, mark)
        return function

    return marked


def discover(
    modules: Sequence[str],
    *,
    folder: Path | None = None,
    built_in: bool = True,
    also: Sequence[Function] = (),
) -> Registry:
    """Import `modules` and the entry points, and collect what `@handler` has marked.

    `folder` is where modules are looked for first (a user's own, beside the configuration); `also`
    are marked functions that some part of TaskHub has made for this process.
    Raises ConfigError with every problem: a module that is missing, fails or marks nothing, an
    annotation that cannot be served, a name used twice.
    """
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    problems: list[ConfigProblem] = []
    found: list[tuple[str, Function]] = [(BUILT_IN, function) for function in also]
    sources = [(BUILT_IN, BUILT_IN)] if built_in else []
    for place, module in sources + [(f"{KEY} ({name})", name) for name in modules]:
        _gather(place, partial(importlib.import_module, module), found, problems)
    for point in importlib.metadata.entry_points(group=GROUP):
        _gather(f"entry point {GROUP} ({point.name})", point.load, found, problems)
    return _registry(found, problems)


def _check(mark: Mark) -> None:
    place = f"@handler({mark.name!r})"
    names = [("name", mark.name), *(("name", alias) for alias in mark.aliases)]
    for what, text in (*names, ("queue", mark.queue)):
        if re.fullmatch(NAME_PATTERN, text) is None:
            raise ConfigProblem(
                place, f"expected a {what} of letters, digits, _ . : - (at most 100)"
            )
    if not (math.isfinite(mark.timeout) and mark.timeout > 0):
        raise ConfigProblem(place, "expected a timeout of more than 0 seconds")
    if mark.attempts < 1:
        raise ConfigProblem(place, "expected at least 1 attempt")
    if mark.keep_result is not None and not 0 <= mark.keep_result <= KEEP_MOST:
        raise ConfigProblem(place, "expected keep_result of 0 seconds to a hundred years")
    check(mark.on_error, place)
    if mark.unique is not None:
        _check_unique(mark.unique, place)


def _check_unique(unique: Unique, place: str) -> None:
    try:
        msgspec.convert(msgspec.to_builtins(unique), Unique)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigProblem(place, f"expected unique=Unique(...) as documented: {error}") from error
    for member, rule in unique_problems(unique):
        raise ConfigProblem(place, f"expected of unique, {member}: {rule}")


def _gather(
    place: str,
    load: Callable[[], object],
    found: list[tuple[str, Function]],
    problems: list[ConfigProblem],
) -> None:
    try:
        functions = _marked(source := load())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may do anything
        problems.append(ConfigProblem(place, _why_not(error)))
        return
    if not functions:
        problems.append(ConfigProblem(place, "expected at least one function marked with @handler"))
    problems += [ConfigProblem(place, wrong) for wrong in _unhandled(source)]
    found += [(place, function) for function in functions]


def _marked(source: object) -> list[Function]:
    """The marked functions of a module (those it imported too), or the one given."""
    values: Iterable[Any] = vars(source).values() if isinstance(source, ModuleType) else [source]
    return [value for value in values if isinstance(getattr(value, MARK, None), Mark)]


def _unhandled(source: object) -> list[str]:
    """Functions with a schedule and no handler: nothing would ever run them."""
    values = vars(source).items() if isinstance(source, ModuleType) else ()
    return [
        f"expected @handler beside @schedule on {name}"
        for name, value in values
        if inspect.isfunction(value) and hasattr(value, SCHEDULED) and not hasattr(value, MARK)
    ]


def _why_not(error: BaseException) -> str:
    if isinstance(error, ConfigProblem):
        return error.detail
    if isinstance(error, ModuleNotFoundError):
        return f"expected a module that can be imported: {error}"
    return f"expected a module that can be imported: {type(error).__name__}: {error}"


def _registry(found: list[tuple[str, Function]], problems: list[ConfigProblem]) -> Registry:
    specs: dict[str, HandlerSpec] = {}
    for place, function in found:
        try:
            spec = _spec(function, place)
        except ConfigProblem as problem:
            problems.append(problem)
            continue
        for name in (spec.name, *spec.mark.aliases):
            known = specs.setdefault(name, replace(spec, name=name))
            if known.function is not function:
                problems.append(ConfigProblem(place, _used_twice(known, spec)))
    if problems:
        raise ConfigError(problems)
    return Registry(specs.values())


def _used_twice(known: HandlerSpec, spec: HandlerSpec) -> str:
    return f"expected one handler for each name: `{known.name}` is {_home(known)} and {_home(spec)}"


def _home(spec: HandlerSpec) -> str:
    return f"{spec.function.__module__}.{spec.function.__qualname__}"


def _spec(function: Function, place: str) -> HandlerSpec:
    mark: Mark = getattr(function, MARK)
    place = f"{place}: @handler({mark.name!r})"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigProblem(place, "expected a function that returns its result (no generator)")
    is_async = inspect.iscoroutinefunction(function)
    signature = read_signature(function, place)
    _check_names(mark.unique, signature, place)
    return HandlerSpec(mark.name, mark, function, is_async, signature)


def _check_names(unique: Unique | None, signature: Signature, place: str) -> None:
    """A slip in a name would make all tasks of the type the same one."""
    if unique is None or unique.by is UNSET or signature.is_whole:
        return
    if strange := set(unique.by) - set(signature.schema.get("properties", {})):
        raise ConfigProblem(place, f"expected unique by its parameters, not `{min(strange)}`")
