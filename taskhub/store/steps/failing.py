"""Groups of failed tasks: a page of them, each looked into by a few seeks of one index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from taskhub.failures import COUNTED, LOOKED, SAMPLES, FailureGroup, FailurePage, FailureQuery
from taskhub.model import micros_from_utc, utc_from_micros
from taskhub.store.steps.rows import Row

EVER = -(1 << 62)
"""Before any time."""


Ask = Callable[[str, Mapping[str, object]], Sequence[Row]]
"""Runs a statement, given by its name; all that it runs is of one moment."""


def page(ask: Ask, query: FailureQuery) -> FailurePage:
    """A page of groups."""
    return _Looking(ask).page(query)


class _Looking:
    """Inside the transaction of one page."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def page(self, query: FailureQuery) -> FailurePage:
        last, mark, of = query.cursor or (None, "", "")
        since = EVER if query.since is None else micros_from_utc(query.since)
        values = {
            "type": query.type,
            "since": since,
            "last": last,
            "mark": mark,
            "of": of,
            "limit": query.limit + 1,
            "most": LOOKED,
        }
        rows = self._ask("failure_groups", values)
        items = [self._group(row) for row in rows[: query.limit]]
        end = rows[query.limit - 1] if len(rows) > query.limit else None
        return FailurePage(items, None if end is None else (end[2], end[1], end[0]))

    def _group(self, row: Row) -> FailureGroup:
        of_type, mark, last = row
        group = {"type": of_type, "mark": mark}
        ((count, first),) = self._ask("failure_group", group | {"counted": COUNTED + 1})
        samples = self._ask("failure_samples", group | {"samples": SAMPLES})
        (cause,) = self._ask("failure_cause", {"task": samples[0][0]}) or [(None, None)]
        return FailureGroup(
            fingerprint=mark or None,
            type=of_type,
            exception=cause[0],
            place=cause[1],
            error=samples[0][1],
            count=min(count, COUNTED),
            more=count > COUNTED,
            first_seen=utc_from_micros(first),
            last_seen=utc_from_micros(last),
            samples=[sample[0] for sample in samples],
        )
