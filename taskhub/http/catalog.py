"""The types of tasks that are known: read from the store, their schemas compiled once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from taskhub.errors import FieldError, Invalid, Trouble
from taskhub.http.members import step
from taskhub.http.reading import in_time
from taskhub.http.waiting import rung_or_time
from taskhub.model import DEFAULTS_KEY, TypeDefaults, TypeInfo

if TYPE_CHECKING:
    import jsonschema_rs

Read = Callable[[], Awaitable[list[TypeInfo]]]

FRESH = 2.0
"""Seconds between two looks into the store."""
SOONEST = 0.25
"""Seconds between two looks that unknown names cause: strangers cannot make them cost more."""
ERRORS_MOST = 100
"""Errors of one payload that an answer lists: a client could make a million."""
MASK = "the value"
"""Stands in messages for what the client has sent."""

_OF_MEMBERS = frozenset({"properties", "required", "additionalProperties", "title", "description"})
"""What a schema may say of an object without saying anything of one that has no members."""


class KnownType:
    """A type as the API needs it: defaults of new tasks, and the rules of their payloads."""

    def __init__(self, info: TypeInfo) -> None:
        self.info, self.defaults = info, defaults_of(info)
        self._rules = {name: rule for name, rule in info.schema.items() if name != DEFAULTS_KEY}
        self._takes_nothing = takes_nothing(self._rules)

    @cached_property
    def _validator(self) -> Any:
        """Made for the first payload that needs it: whoever sends none is spared its 6 MB.

        A schema that nobody can read is taken as one without rules: its worker decides.
        """
        try:
            return validator_of(self._rules) if self._rules else None
        except ValueError:
            return None

    def broken(self, value: Any) -> list[FieldError]:
        """The rules of the type's schema that a payload breaks, as far as an answer can list."""
        if (self._takes_nothing and value == {}) or self._validator is None:
            return []
        return [
            FieldError(_pointer(error.instance_path), _sentence(error))
            for error in islice(self._validator.iter_errors(value), ERRORS_MOST)
        ]

    def check(self, payload: Any) -> None:
        """Raise Invalid where the payload of a body breaks a rule."""
        if errors := self.broken(payload):
            raise Invalid([FieldError(f"/payload{e.pointer}", e.detail) for e in errors])


class Catalog:
    """Finds types by name. `fixed` are known without any worker.

    While `takes_unknown` says so, a type of any other name is taken too, with no rules at all.
    """

    def __init__(
        self,
        read: Read,
        fixed: Sequence[TypeInfo] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        takes_unknown: Callable[[], bool] = lambda: False,
    ) -> None:
        self._read, self._clock, self._takes_unknown = read, clock, takes_unknown
        self.fixed: Mapping[str, TypeInfo] = {info.name: info for info in fixed}
        self._fixed = {info.name: KnownType(info) for info in fixed}
        self._known = dict(self._fixed)
        self._all: Sequence[TypeInfo] = sorted(fixed, key=lambda info: info.name)
        self._infos: Sequence[TypeInfo] = ()
        self._looked_at = float("-inf")
        self._rang = asyncio.Event()

    @property
    def all(self) -> Sequence[TypeInfo]:
        """Every type that is known by now, by name; the same object until there are others."""
        return self._all

    def get(self, name: str) -> KnownType | None:
        """The type as far as it is known by now."""
        return self._known.get(name)

    async def find(self, name: str) -> KnownType | None:
        """The type; an unknown one is looked for in the store, where it may just have come.

        Raises Trouble where that cannot be read: nobody is told then that there is no such type.
        """
        if name not in self._known and self._clock() - self._looked_at >= SOONEST:
            await self._look()
        known = self._known.get(name)
        return KnownType(TypeInfo(name)) if known is None and self._takes_unknown() else known

    async def look(self) -> None:
        """Read the store's types; when it is not well, what is known stays."""
        with suppress(Trouble):
            await self._look()

    def rang(self, kinds: frozenset[str]) -> None:
        """Hear the bell: look when it says that types have changed."""
        if "types" in kinds:
            self._rang.set()

    async def run(self) -> None:
        """Look whenever it rings, and now and then."""
        while True:
            await rung_or_time(self._rang, FRESH)
            await self.look()

    async def _look(self) -> None:
        infos = await in_time(self._read())
        self._looked_at = self._clock()
        if infos is self._infos:
            return
        self._known = self._fixed | {info.name: self._compiled(info) for info in infos}
        self._all = [self._known[name].info for name in sorted(self._known)]
        self._infos = infos

    def _compiled(self, info: TypeInfo) -> KnownType:
        old = self._known.get(info.name)
        return old if old is not None and old.info == info else KnownType(info)


def takes_nothing(rules: Mapping[str, Any]) -> bool:
    """Whether it is plain that an object without members breaks no rule."""
    kind, needed = rules.get("type"), rules.get("required", [])
    return kind == "object" and needed == [] and rules.keys() - {"type"} <= _OF_MEMBERS


def defaults_of(info: TypeInfo) -> TypeDefaults:
    """The type's own defaults; the general ones where it names none, or wrong ones."""
    try:
        return info.defaults
    except msgspec.ValidationError:
        return TypeDefaults()


def validator_of(rules: dict[str, Any]) -> Any:
    """Formats count, as they do for the worker: a `date-time` must be one."""
    import jsonschema_rs

    return jsonschema_rs.validator_for(rules, mask=MASK, offline=True, validate_formats=True)


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(step(str(part)) for part in path)


@cache
def _foreign_names() -> tuple[type, ...]:
    """Errors whose sentence would repeat what a client has called its members."""
    from jsonschema_rs import ValidationErrorKind as Kind

    return (Kind.AdditionalProperties, Kind.UnevaluatedProperties, Kind.PropertyNames)


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    """What the validator says, without the names that a client made up."""
    if isinstance(error.kind, _foreign_names()):
        return "no other members are known here"
    return error.message[:200]
