"""Schedules that code declares: the `@schedule` mark beside `@handler`, and what it amounts to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from taskhub.errors import ConfigError, ConfigProblem
from taskhub.model import Fail
from taskhub.schedules.rules import wrong
from taskhub.schedules.schedule import GRACE, Definition, Misfire, Overlap
from taskhub.work.registry import SCHEDULED, HandlerSpec

OURS = "taskhub."
"""Modules that declare nothing: our own."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Planned:
    """What one `@schedule` says; the rest is the handler's."""

    cron: str
    time_zone: str
    name: str
    title: str
    priority: int
    payload: Any
    misfire: Misfire
    misfire_grace: float
    overlap: Overlap


def schedule(
    cron: str,
    *,
    time_zone: str = "UTC",
    name: str = "",
    title: str = "",
    priority: int = 0,
    payload: object = None,
    misfire: Literal["skip", "once", "all"] = "once",
    misfire_grace: float = GRACE,
    overlap: Literal["skip", "queue", "cancel"] = "skip",
) -> Callable[[F], F]:
    """Run a handler by the clock: beside `@handler`, as often as it has schedules.

    `cron` is such as `0 6 * * MON-FRI` or `@daily`. `name` is that of the schedule (empty: the
    handler's), `payload` is what each task gets (None: nothing). `misfire` says what becomes of due
    times that were missed by more than `misfire_grace` seconds, `overlap` what happens while the
    run before goes on. Raises ConfigProblem when a value makes no sense.
    """
    place = f"@schedule({cron!r})"
    planned = Planned(
        cron=cron,
        time_zone=time_zone,
        name=name,
        title=title,
        priority=priority,
        payload={} if payload is None else payload,
        misfire=_word(Misfire, misfire, f"{place}: misfire"),
        misfire_grace=misfire_grace,
        overlap=_word(Overlap, overlap, f"{place}: overlap"),
    )
    _check(_definition(planned, name or "name", "type", place), place)

    def marked(function: F) -> F:
        setattr(function, SCHEDULED, (*getattr(function, SCHEDULED, ()), planned))
        return function

    return marked


def declared(specs: Iterable[HandlerSpec]) -> dict[str, list[Definition]]:
    """What the handlers' modules declare, by module, also those that declare nothing any more.

    Raises ConfigError where a payload does not fit its handler, or a name comes twice.
    """
    found: dict[str, list[Definition]] = {}
    known: dict[str, str] = {}
    problems: list[ConfigProblem] = []
    for spec in specs:
        module = spec.function.__module__
        if module.startswith(OURS):
            continue
        mine = found.setdefault(module, [])
        for planned in getattr(spec.function, SCHEDULED, ()):
            try:
                mine.append(_of(spec, planned, known))
            except ConfigProblem as problem:
                problems.append(problem)
    if problems:
        raise ConfigError(problems)
    return found


def _of(spec: HandlerSpec, planned: Planned, known: dict[str, str]) -> Definition:
    name = planned.name or spec.name
    home = f"{spec.function.__module__}.{spec.function.__qualname__}"
    place = f"@schedule({planned.cron!r}) of {home}"
    asked = _definition(planned, name, spec.name, place)
    _check(asked, place)
    try:
        spec.signature.arguments(asked.payload)
    except Fail as error:
        raise ConfigProblem(place, f"expected another payload: {error.reason}") from error
    if known.setdefault(name, home) != home or _is_twice(spec, name):
        wanted = f"expected one schedule of the name {name}; give it a name of its own"
        raise ConfigProblem(place, wanted)
    return asked


def _is_twice(spec: HandlerSpec, name: str) -> bool:
    every: tuple[Planned, ...] = getattr(spec.function, SCHEDULED)
    return sum((each.name or spec.name) == name for each in every) > 1


def _definition(planned: Planned, name: str, kind: str, place: str) -> Definition:
    try:
        payload = msgspec.json.encode(planned.payload)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigProblem(place, f"expected a payload that JSON can say: {error}") from error
    return Definition(
        name=name,
        cron=planned.cron,
        time_zone=planned.time_zone,
        title=planned.title or name,
        type=kind,
        priority=planned.priority,
        payload=msgspec.Raw(payload),
        misfire=planned.misfire,
        misfire_grace=planned.misfire_grace,
        overlap=planned.overlap,
    )


def _check(asked: Definition, place: str) -> None:
    for member, expected in wrong(asked):
        raise ConfigProblem(place, f"{member}: expected {expected}")


W = TypeVar("W", Misfire, Overlap)


def _word(kind: type[W], text: str, place: str) -> W:
    try:
        return kind(text)
    except ValueError:
        raise ConfigProblem(place, f"expected one of {', '.join(kind)}") from None
