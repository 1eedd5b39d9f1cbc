"""Reads a list of the API page by page, for the commands that show one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskhub.cli import say
from taskhub.cli.client import Client

PAGE = 200
"""Items in one answer, at most."""


def pages(
    hub: Client, path: str, query: Mapping[str, Any], limit: int | None
) -> Iterator[dict[str, Any]]:
    """Items page by page until there are no more, or `limit` of them (None: no limit)."""
    cursor: str | None = None
    while limit is None or limit > 0:
        size = PAGE if limit is None else min(limit, PAGE)
        page = hub.get(path, **query, cursor=cursor, limit=size)
        yield from page["items"]
        limit = None if limit is None else limit - len(page["items"])
        cursor = page["next"]
        if cursor is None:
            return
    say.note("taskhub: there are more: --limit N, or --all")
