"""Follows events from a terminal: connects again where a line was cut, and goes on after it."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from taskhub.cli import exits
from taskhub.cli.client import Client

PATIENCE = 60.0
"""Seconds for which nobody may be there before a follower gives up."""
LINE_LIMIT = 16 * 1024 * 1024
PAUSE = 1.0
"""Seconds before the first new try, unless the server has said how long."""


class Told(NamedTuple):
    """One event of a stream."""

    event: str
    data: Mapping[str, Any]


class Follower:
    """A stream and the place in it; `last` is the id of the last event that was seen."""

    def __init__(self, hub: Client, path: str, last: str = "") -> None:
        self._hub, self._path, self._last = hub, path, last
        self._pause, self._heard_at = PAUSE, 0.0

    def events(self) -> Iterator[Told]:
        """Every event once, in order, until the stream says `end`.

        Raises Failure when nobody has been there for a while, or the token is refused.
        """
        self._heard_at = time.monotonic()
        while True:
            for told in self._one_line():
                yield told
                if told.event == "end":
                    return
            time.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads load

    def _one_line(self) -> Iterator[Told]:
        """What comes until the line is cut."""
        try:
            with self._hub.stream(self._path, self._last) as answer:
                yield from self._frames(answer)
        except exits.Failure as failure:
            is_over = time.monotonic() - self._heard_at > PATIENCE
            if failure.code != exits.UNREACHABLE or is_over:
                raise
        except (OSError, http.client.HTTPException):
            self._heard_at = time.monotonic()  # it was there a moment ago
        else:
            self._heard_at = time.monotonic()

    def _frames(self, answer: http.client.HTTPResponse) -> Iterator[Told]:
        """What a browser would dispatch (https://html.spec.whatwg.org, 9.2.6)."""
        fields: dict[str, str] = {}
        while line := answer.readline(LINE_LIMIT).decode():
            if text := line.rstrip("\r\n"):
                self._take(fields, text)
                continue
            self._last = fields.get("id", self._last)  # only a whole frame counts
            if data := fields.get("data"):
                yield Told(fields.get("event", "message"), json.loads(data))
            fields = {}

    def _take(self, fields: dict[str, str], line: str) -> None:
        """Add a line to the frame that has begun; a comment adds nothing."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "retry" and value.isdigit():
            self._pause = int(value) / 1_000
        elif name in {"event", "id"}:
            fields[name] = value
        elif name == "data":
            fields[name] = fields.get(name, "") + value
