"""Groups of failed tasks: a page of them, each looked into by a few seeks of one index."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from taskhub.failures import COUNTED, LOOKED, SAMPLES, FailureGroup, FailurePage, FailureQuery
from taskhub.model import micros_from_utc, utc_from_micros
from taskhub.store.sqlite.rows import Row

EVER = -(1 << 62)
"""Before any time."""


def page(
    statements: Mapping[str, str], query: FailureQuery, connection: sqlite3.Connection
) -> FailurePage:
    """A page of groups, all of one moment."""
    connection.execute("BEGIN")
    try:
        return _Looking(statements, connection).page(query)
    finally:
        connection.execute("ROLLBACK")


class _Looking:
    """Inside the transaction of one page."""

    def __init__(self, statements: Mapping[str, str], connection: sqlite3.Connection) -> None:
        self._statements, self._connection = statements, connection

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

    def _ask(self, name: str, values: Mapping[str, object]) -> Sequence[Row]:
        return self._connection.execute(self._statements[name], values).fetchall()
