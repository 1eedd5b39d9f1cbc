"""What an exception means for a task: the rules beside a handler, and the place where it arose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from taskhub.backoff import Backoff
from taskhub.errors import ConfigProblem
from taskhub.model import Cancel, Fail, Outcome, Retry, Snooze

Rule = type[Fail] | type[Cancel] | Retry | Snooze | Backoff | Callable[..., Outcome | None]
"""`Fail` or `Cancel` end the task, a `Retry`, `Snooze` or `Backoff` say when it comes again, and a
function is given the exception and returns one of the outcomes (None: no rule).
"""

Rules = Mapping[type[BaseException], Rule]

EXPECTED = "Fail, Cancel, a Retry, a Snooze, a Backoff or a function of the exception"
_ENDS = (Fail, Cancel)
_OUTCOMES = (Retry, Snooze, Cancel, Fail)


class Ruled(NamedTuple):
    """What becomes of an attempt that has raised; `backoff`: its own, in place of the usual one."""

    outcome: Outcome
    backoff: Backoff | None = None


def check(rules: Rules, place: str) -> None:
    """Refuse what can never apply or means nothing; raises ConfigProblem."""
    for kind, rule in rules.items():
        if not _is_exception(kind):
            raise ConfigProblem(place, "expected classes of exceptions as keys of `on_error`")
        if issubclass(kind, _OUTCOMES):
            raise ConfigProblem(place, f"{kind.__name__} is an outcome, and needs no rule")
        if not (rule in _ENDS or isinstance(rule, Retry | Snooze | Backoff) or _is_function(rule)):
            raise ConfigProblem(place, f"expected {EXPECTED} for {kind.__name__}")


def ruled(rules: Rules, error: BaseException, text: str) -> Ruled:
    """What the nearest rule for this exception says; without one another attempt is made.

    The nearest is that of its class, then of the classes that this is made from, as with `except`.
    A group of a single exception counts as that one.
    """
    inner = alone(error)
    rule = next((rules[kind] for kind in type(inner).__mro__ if kind in rules), None)
    if isinstance(rule, Backoff):
        return Ruled(Retry(text), rule)
    if rule is Fail or rule is Cancel:
        return Ruled(rule(text))
    if isinstance(rule, Retry | Snooze):
        return Ruled(_with_reason(rule, text))
    return Ruled(_asked(rule, inner, text) if _is_function(rule) else Retry(text))


def alone(error: BaseException) -> BaseException:
    """The exception inside groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _is_function(rule: object) -> bool:
    return callable(rule) and not isinstance(rule, type)


def _asked(rule: object, error: BaseException, text: str) -> Outcome:
    try:
        outcome = rule(error) if callable(rule) else None
    except Exception as failure:  # noqa: BLE001 - a user's function may do anything
        return Retry(f"{text} (and its rule has raised {type(failure).__name__})")
    return _with_reason(outcome, text) if isinstance(outcome, _OUTCOMES) else Retry(text)


def _with_reason(outcome: Outcome, text: str) -> Outcome:
    """The outcome, with the exception's text where it has no reason of its own."""
    match outcome:
        case Retry():
            return Retry(outcome.reason or text, in_seconds=outcome.in_seconds)
        case Snooze():
            return Snooze(outcome.in_seconds, outcome.reason or text)
        case Fail():
            return Fail(outcome.reason or text)
        case Cancel():
            return Cancel(outcome.reason or text)
        case _:
            return outcome


def place_of(error: BaseException, home: str) -> str:
    """Where it arose: the innermost function of the handler's own package, or of anybody but us.

    `home` is the handler's module. Without numbers of lines: they move with every change.
    """
    package = home.partition(".")[0]
    ours, others = "", ""
    trace = alone(error).__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        module = str(frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        place = f"{module}:{frame.f_code.co_qualname}"
        if top == package:
            ours = place
        elif top != "taskhub":
            others = place
    return ours or others
