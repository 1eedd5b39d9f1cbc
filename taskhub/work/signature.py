"""How a payload becomes a handler's arguments, read once from the handler's own signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec

from taskhub.errors import ConfigProblem
from taskhub.model import Fail
from taskhub.work.job import Job

Function = Callable[..., Any]
Parameters = dict[str, inspect.Parameter]

WHOLE = "payload"
"""A handler's only parameter of this name takes the payload as it is."""

_NULL, _NO_MEMBERS = msgspec.Raw(b"null"), msgspec.Raw(b"{}")
_NAMED = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes: `job` names the context's parameter, `schema` is the payload's."""

    job: str | None
    is_whole: bool
    decoder: msgspec.json.Decoder[Any]
    schema: dict[str, Any]

    def arguments(self, payload: msgspec.Raw) -> dict[str, Any]:
        """The payload's part of the arguments; raises Fail when it does not fit."""
        try:
            if self.is_whole:
                return {WHOLE: self.decoder.decode(payload)}
            members = self.decoder.decode(_NO_MEMBERS if payload == _NULL else payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Fail(f"wrong payload: {error}") from error
        return msgspec.structs.asdict(members)


def read_signature(function: Function, place: str) -> Signature:
    """The signature of a handler; raises ConfigProblem at `place` when it cannot be served."""
    parameters = dict(inspect.signature(function).parameters)
    types = _annotations(function, place)
    job = _job_parameter(parameters, types, place)
    if job is not None:
        del parameters[job]
    _refuse_unnamed(parameters, place)
    is_whole = list(parameters) == [WHOLE]
    wanted = types.get(WHOLE, Any) if is_whole else _members(parameters, types, place)
    return Signature(job, is_whole, _decoder(wanted, place), _schema(wanted, place))


def _annotations(function: Function, place: str) -> dict[str, Any]:
    """Types by name; `Job` is known even where it is imported for type checkers only."""
    try:
        try:
            return get_type_hints(function, include_extras=True)
        except NameError:
            return get_type_hints(function, localns={"Job": Job}, include_extras=True)
    except Exception as error:
        raise ConfigProblem(place, f"expected annotations that can be read: {error}") from error


def _job_parameter(parameters: Parameters, types: dict[str, Any], place: str) -> str | None:
    found = [name for name in parameters if types.get(name) in (Job, Job | None)]
    if len(found) > 1:
        raise ConfigProblem(place, "expected at most one parameter annotated `Job`")
    return found[0] if found else None


def _refuse_unnamed(parameters: Parameters, place: str) -> None:
    for name, parameter in parameters.items():
        if parameter.kind not in _NAMED:
            wanted = f"parameters that a payload can name (not `{name}`), or one named `{WHOLE}`"
            raise ConfigProblem(place, f"expected {wanted}")


def _members(parameters: Parameters, types: dict[str, Any], place: str) -> type[msgspec.Struct]:
    fields = [_field(name, types.get(name, Any), parameters[name].default) for name in parameters]
    try:
        return msgspec.defstruct(
            "Payload", fields, frozen=True, kw_only=True, forbid_unknown_fields=True
        )
    except (TypeError, ValueError) as error:
        raise ConfigProblem(place, f"expected parameters that JSON can give: {error}") from error


def _field(name: str, kind: Any, default: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if default is inspect.Parameter.empty:
        return (name, kind)
    if isinstance(default, list | dict | set | bytearray) and default:  # shared, as Python does
        return (name, kind, msgspec.field(default_factory=lambda: default))
    return (name, kind, default)


def _decoder(wanted: Any, place: str) -> msgspec.json.Decoder[Any]:
    try:
        return msgspec.json.Decoder(wanted)
    except TypeError as error:
        raise ConfigProblem(place, f"expected parameters that JSON can give: {error}") from error


def _schema(wanted: Any, place: str) -> dict[str, Any]:
    try:
        schema = msgspec.json.schema(wanted)
    except TypeError as error:
        reason = str(error).rpartition("\n")[2]
        raise ConfigProblem(place, f"expected parameters that JSON can give: {reason}") from error
    return _inlined(schema)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema with its outermost type in place, for those who read it."""
    shared, reference = schema.get("$defs", {}), str(schema.get("$ref", ""))
    name = reference.rpartition("/")[2]
    if name not in shared or reference.encode() in msgspec.json.encode(shared):
        return schema
    root = {key: value for key, value in shared[name].items() if key != "title"}
    rest = {key: value for key, value in shared.items() if key != name}
    return {**root, "$defs": rest} if rest else root
