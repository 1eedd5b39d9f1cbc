"""What a handler returned or raised, as one of the five outcomes, ready to be stored."""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections import deque
from typing import Any

import msgspec

from taskhub.model import Cancel, Done, Fail, Outcome, Retry, Snooze
from taskhub.policy import RESULT_LIMIT, cleaned

TRACE_LIMIT = 8_000
_FRAMES = 20
_CAUSES = 5
_OUTCOMES = (Retry, Snooze, Cancel, Fail)
_NOTHING = Done()

_encoder = msgspec.json.Encoder()


def outcome_of_value(value: Any, limit: int = RESULT_LIMIT) -> Outcome:
    """The outcome of a handler that returned `value`; a `Done`'s result is JSON bytes, or None.

    `limit` is how many bytes there may be.
    """
    if isinstance(value, Done):
        value = value.result
    if value is None:
        return _NOTHING
    return value if isinstance(value, _OUTCOMES) else _encoded(value, limit)


def outcome_of_error(error: BaseException) -> Outcome:
    """The outcome of a handler that raised `error`: one of the outcomes itself, else a retry."""
    if isinstance(error, _OUTCOMES):
        return error
    return Retry(error_text(error))


def error_text(error: BaseException) -> str:
    """`TypeName: message` for people: no control characters, at most 4,000 characters."""
    parts = [_one_line(error)]
    if isinstance(error, BaseExceptionGroup):
        parts += [_one_line(inner) for inner in error.exceptions[:_CAUSES]]
    return cleaned("; ".join(parts))


def trace_text(error: BaseException) -> str:
    """The traceback for the handler's author: the last 20 frames, at most 8,000 characters.

    By hand, since the standard one costs 0.4 ms: a storm of failures must not stop a worker.
    """
    if isinstance(error, BaseExceptionGroup):
        return cleaned("".join(traceback.format_exception(error, limit=-_FRAMES)), TRACE_LIMIT)
    parts = [f"{''.join(_frames(each))}{_one_line(each)}" for each in _causes(error)]
    return cleaned("\n\nthen\n\n".join(parts)[-TRACE_LIMIT:], TRACE_LIMIT)


def _causes(error: BaseException) -> list[BaseException]:
    """The error after those it came from, oldest first."""
    found = [error]
    while len(found) < _CAUSES:
        latest = found[-1]
        cause = latest.__cause__ or (None if latest.__suppress_context__ else latest.__context__)
        if cause is None or cause in found:
            break
        found.append(cause)
    return found[::-1]


def _frames(error: BaseException) -> list[str]:
    lines: deque[str] = deque(maxlen=_FRAMES)
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        source = linecache.getline(code.co_filename, trace.tb_lineno).strip()
        place = f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n'
        lines.append(f"{place}    {source}\n" if source else place)
        trace = trace.tb_next
    return list(lines)


def _encoded(value: Any, limit: int) -> Outcome:
    try:
        result = _encoder.encode(value)
    except Exception as error:  # noqa: BLE001 - a user's value may do anything while it is encoded
        if inspect.iscoroutine(value):
            value.close()
            return Fail("a `def` handler returned a coroutine: make it an `async def`")
        return Fail(f"the result cannot be written as JSON: {error_text(error)}")
    if len(result) > limit:
        return Fail(f"the result has {len(result):,} bytes of JSON, at most {limit:,} are kept")
    return Done(result)


def _one_line(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a user's exception may fail to say what it is
        message = "(its text cannot be had)"
    name = type(error).__name__
    return f"{name}: {message}" if message else name
