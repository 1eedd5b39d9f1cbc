"""Shows tasks that move: one live table on a terminal, a line for each move elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from taskhub.cli import say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Task = dict[str, Any]
COLOURS = {"Done": "green", "Failed": "red", "Processing": "cyan", "Pending": "white"}


class Screen(Protocol):
    """What the demo tells."""

    def tell(self, text: str) -> None:
        """A sentence about what happens now."""

    def show(self, tasks: list[Task]) -> None:
        """The tasks as they are at this moment."""


@contextmanager
def screen() -> Iterator[Screen]:
    """The one that fits where stdout goes."""
    if not say.has_colour(sys.stdout):
        yield Plain()
        return
    from rich.live import Live

    with Live(refresh_per_second=10) as live:
        yield Lively(live)


class Plain:
    """A line for each move."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._known: dict[str, tuple[str, int]] = {}

    def tell(self, text: str) -> None:
        """The sentence, with the time."""
        say.data(f"{time.monotonic() - self._began:6.2f} s  {text}")

    def show(self, tasks: list[Task]) -> None:
        """What has moved since the last look."""
        for task in sorted(tasks, key=lambda each: str(each["id"])):
            move = (task["status"], task["attempts"])
            if self._known.get(task["id"]) != move:
                self._known[task["id"]] = move
                attempt = f", attempt {task['attempts']}" if task["attempts"] else ""
                self.tell(say.printable(f"  {task['status']:<10}  {task['title']}{attempt}"))


class Lively:
    """One table that changes in place, with the story so far under it."""

    def __init__(self, live: Live) -> None:
        self._live, self._story = live, list[str]()
        self._tasks: list[Task] = []
        self._began = time.monotonic()

    def tell(self, text: str) -> None:
        """Another sentence under the table."""
        self._story.append(f"{time.monotonic() - self._began:5.1f} s  {text}")
        self._live.update(self._picture())

    def show(self, tasks: list[Task]) -> None:
        """The table anew."""
        self._tasks = sorted(tasks, key=lambda each: str(each["id"]))
        self._live.update(self._picture())

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("task", "type", "status", "attempts", expand=False)
        for task in self._tasks:
            status = Text(task["status"], style=COLOURS.get(task["status"], ""))
            table.add_row(Text(task["title"]), task["type"], status, str(task["attempts"]))
        return Group(table, *(Text(line, style="dim") for line in self._story))
