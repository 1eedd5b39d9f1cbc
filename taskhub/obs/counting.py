"""What groups of metrics are made of: families, and which event counts in which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskhub.obs import telemetry as t
from taskhub.obs.meters import Example, Family, Number, only
from taskhub.obs.telemetry import Telemetry

Hears = dict[type[Telemetry], Callable[[Any], None]]
Cells = dict[tuple[str, ...] | str, Number]


class Counted:
    """Base of the groups: families are attributes, `hears` says which event goes where."""

    hears: Hears

    def families(self) -> list[Family[Any]]:
        """Every metric of this group."""
        return [value for value in vars(self).values() if isinstance(value, Family)]


def example(event: t.TaskStarted | t.TaskProcessed | t.RequestServed, other: str) -> Example:
    """What leads from a histogram to one observation: its trace, else the id called `other`."""
    return ("trace_id", event.trace_id) if event.trace_id else (other, getattr(event, other))


def counts(family: Family[Number]) -> Callable[[Telemetry], None]:
    """What counts each event in the one cell of `family`."""
    cell = only(family)

    def count(_event: Telemetry) -> None:
        cell.value += 1

    return count


def replace(family: Family[Number], cells: Cells) -> None:
    """Put these cells in the place of all."""
    for key in [key for key in family if key not in cells]:
        del family[key]
    family.update(cells)
