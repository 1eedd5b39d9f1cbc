"""What stands behind the `?`: each parameter once, known by name, in its exact form, or 400."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping

from taskhub.errors import FieldError, SearchError
from taskhub.finding import TaskQuery
from taskhub.http.problems import BadHeader, BadQuery
from taskhub.model import NAME_PATTERN, Status, TaskId
from taskhub.search import EVERYTHING, LENGTH_LIMIT, At, Field, Op, Query, Term, one_of, parse

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
GROUP_KEY = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,100}")
WAIT_LIMIT = 60.0
"""The longest `?wait=` in seconds: shorter than what proxies cut off."""
LIMIT_MOST = 200
EXAMPLE = "status:failed type:image.* error:~timeout age:>1h payload.customer=42"

_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,2}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")
_PREFER_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,5})\"?\s*(?=[,;]|$)", re.IGNORECASE)


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a query: how it is read, and what is said of it."""

    name: str
    field: str
    rule: str
    read: Callable[[str], Any]
    """Raises ValueError."""
    schema: dict[str, Any]
    is_needed: bool = False


def _status(text: str) -> Status:
    return Status(text)


def name_of(text: str) -> str:
    """A name of a queue or a type; raises ValueError."""
    return matched(_NAME, text)


def id_of_task(text: str) -> TaskId:
    """The id of a task; raises ValueError."""
    return TaskId(matched(ID, text))


def _group_key(text: str) -> str:
    return matched(GROUP_KEY, text)


def _limit(text: str) -> int:
    number = int(matched(_NUMBER, text))
    if not 1 <= number <= LIMIT_MOST:
        raise ValueError(text)
    return number


def moment(text: str) -> datetime:
    """RFC 3339; a `+` that a client forgot to escape has come as a space."""
    if text[-6:-5] == " ":
        text = f"{text[:-6]}+{text[-5:]}"
    found = msgspec.convert(text, datetime)
    if found.tzinfo is None:
        raise ValueError(text)
    return found.astimezone(UTC)


def seconds_of(text: str) -> float:
    """How long to wait, up to WAIT_LIMIT; raises ValueError."""
    seconds = float(matched(_SECONDS, text))
    if seconds > WAIT_LIMIT:
        raise ValueError(text)
    return seconds


def matched(pattern: re.Pattern[str], text: str) -> str:
    """The text, if it has this form; raises ValueError."""
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


TIME = {"type": "string", "format": "date-time"}
CURSOR = Parameter(
    "cursor",
    "cursor",
    "the `next` of the page before",
    id_of_task,
    {
        "type": "string",
        "pattern": f"^{ID.pattern}$",
        "examples": ["019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21"],
    },
)
RFC3339 = "a time with its offset, such as 2030-01-31T08:00:00Z"


def limit_of(things: str) -> Parameter:
    """How many of them a page holds at most."""
    schema = {"type": "integer", "minimum": 1, "maximum": LIMIT_MOST, "default": 50}
    return Parameter(
        "limit", "limit", f"1 to {LIMIT_MOST} {things}; 50 when absent", _limit, schema
    )


OF_TYPE = Parameter(
    "type", "type", "the name of a type", name_of, {"type": "string", "pattern": NAME_PATTERN}
)
LIST = (
    Parameter(
        "q",
        "q",
        f"a search such as `{EXAMPLE}`, at most {LENGTH_LIMIT} characters; see docs/search.md",
        parse,
        {"type": "string", "maxLength": LENGTH_LIMIT, "examples": [EXAMPLE]},
    ),
    Parameter(
        "status",
        "status",
        f"one of {', '.join(Status)}",
        _status,
        {"type": "string", "enum": [str(status) for status in Status]},
    ),
    OF_TYPE,
    Parameter(
        "queue",
        "queue",
        "the name of a queue",
        name_of,
        {"type": "string", "pattern": NAME_PATTERN},
    ),
    Parameter(
        "groupKey",
        "group_key",
        "a key of 1 to 100 characters, no control characters",
        _group_key,
        {"type": "string", "minLength": 1, "maxLength": 100},
    ),
    Parameter("createdFrom", "created_from", f"{RFC3339}; tasks from then on", moment, TIME),
    Parameter("createdTo", "created_to", f"{RFC3339}; tasks before then", moment, TIME),
    CURSOR,
    limit_of("tasks"),
)
WAIT = (
    Parameter(
        "wait",
        "wait",
        f"0 to {WAIT_LIMIT:g} seconds: answer when the task has ended, or then",
        seconds_of,
        {"type": "number", "minimum": 0, "maximum": WAIT_LIMIT},
    ),
)


def values(query: MultiMapping[str], known: Sequence[Parameter]) -> dict[str, Any]:
    """What the query says, by field; raises BadQuery with everything that is wrong in it."""
    needed = [each for each in known if each.is_needed and each.name not in query]
    if not query and not needed:
        return {}
    table = {parameter.name: parameter for parameter in known}
    found: dict[str, Any] = {}
    errors = [FieldError(f"/{each.name}", f"needed: {each.rule}") for each in needed]
    for name in dict.fromkeys(query):
        try:
            found[table[name].field] = _one(table[name], query.getall(name))
        except KeyError:
            errors.append(FieldError("", _unknown(table)))
        except SearchError as error:
            errors.append(error)
        except (ValueError, OverflowError):
            errors.append(FieldError(f"/{name}", f"expected once: {table[name].rule}"))
    if errors:
        raise BadQuery(errors)
    return found


def task_query(query: MultiMapping[str]) -> TaskQuery:
    """The page that `GET /tasks` asks for."""
    said = values(query, LIST)
    page = {name: said.pop(name) for name in ("cursor", "limit") if name in said}
    return TaskQuery(where=_where(said), **page)


def _where(said: dict[str, Any]) -> Query:
    """What `q` and the plain filters say together: all of it must hold."""
    where: Query = said.pop("q", EVERYTHING)
    for name, value in said.items():
        where &= FILTERS[name](value)
    return where


def _created(op: Op) -> Callable[[datetime], Query]:
    return lambda moment: Query((Term(Field.CREATED, op, (At(moment),)),))


FILTERS: Mapping[str, Callable[[Any], Query]] = {
    "status": partial(one_of, Field.STATUS),
    "type": partial(one_of, Field.TYPE),
    "queue": partial(one_of, Field.QUEUE),
    "group_key": partial(one_of, Field.GROUP_KEY),
    "created_from": _created(Op.GE),
    "created_to": _created(Op.LT),
}
"""The terms that stand behind the plain parameters."""


def wait_seconds(query: MultiMapping[str]) -> float:
    """How long `GET /tasks/{id}` may wait for the end of the task."""
    return float(values(query, WAIT).get("wait", 0.0))


def prefer_wait(header: str | None) -> float:
    """The seconds of `Prefer: wait=N` (RFC 7240); 0 where there is none: it is only a wish."""
    found = _PREFER_WAIT.search(header) if header else None
    return min(float(found[1]), WAIT_LIMIT) if found else 0.0


def no_query(request: web.BaseRequest) -> None:
    """For routes that take no parameters; raises BadQuery."""
    if "?" in request.raw_path:
        values(request.query, ())


def only_one(fields: list[str], name: str) -> str | None:
    """The value of a header field that may come once; raises BadHeader."""
    if len(fields) > 1:
        raise BadHeader(f"{name} came more than once.")
    return fields[0] if fields else None


def _one(parameter: Parameter, texts: list[str]) -> Any:
    if len(texts) > 1:
        raise ValueError(parameter.name)
    return parameter.read(texts[0])


def _unknown(table: Mapping[str, Parameter]) -> str:
    names = ", ".join(table)
    return f"only these parameters are known: {names}" if names else "no parameters are known here"
