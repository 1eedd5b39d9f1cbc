"""Checks `[log_levels]`: each name is that of an actor, of a process, or of one in the other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping

from taskhub.config.issuers import Wrong
from taskhub.config.units import ACTORS

SECTION = "log_levels"
_INSTANCE = re.compile(r"(?P<unit>[a-z][a-z0-9-]*?)(?:-[1-9][0-9]{0,2})?", re.ASCII)


def rules(levels: Mapping[str, str], units: Collection[str]) -> Iterator[Wrong]:
    """What is wrong with the names; their values are checked as they are read."""
    for name in levels:
        if wrong := wrong_name(name, units):
            yield f"{SECTION}.{name}", wrong


def wrong_name(name: str, units: Collection[str]) -> str:
    """Why nobody is called so; "" when somebody may be."""
    process, slash, actor = name.rpartition("/")
    if slash and not _is_process(process, units):
        return f"expected a process before the slash, such as worker-1{_near(process, units)}"
    if actor in ACTORS or _is_process(actor, units):
        return ""
    near = _near(actor, (*ACTORS, *units))
    return f"expected an actor (pool), a process (worker-1) or both (worker-1/pool){near}"


def _is_process(name: str, units: Collection[str]) -> bool:
    found = _INSTANCE.fullmatch(name)
    return name in units or (found is not None and found["unit"] in units)


def _near(text: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
