"""The command `taskhub demo`: tells the story in order, and judges how it ended."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from taskhub.cli import exits, say
from taskhub.cli.client import Client
from taskhub.cli.demo import story
from taskhub.cli.demo.place import LOOK_EVERY, Place, hub_of
from taskhub.cli.demo.screen import Screen, screen
from taskhub.kernel.call import Unreachable

LONGEST_PARENT = 50  # characters
STEP_WITHIN = 30.0  # seconds; each step takes a few
NEXT = {
    "dev": "run it in this folder, and keep what it does",
    "create --help": "make tasks of your own",
    "status": "the actors of every process",
    "--help": "everything else",
}

Tasks = list[dict[str, Any]]
Heed = Callable[[], None]
"""Raises KeyboardInterrupt when a signal has come, also one whose own exception was lost."""


@click.command()
def demo() -> None:
    """Watch a whole TaskHub at work for half a minute, in a temporary folder.

    It takes tasks over HTTP, runs them, retries one that fails, and takes over one whose worker
    is killed. Nothing of it is left. Exit code 0 when all went as promised.
    """
    with (
        _stopping_at_signals() as heed,
        tempfile.TemporaryDirectory(prefix="taskhub-demo-", dir=_parent()) as name,
        screen() as view,
    ):
        tasks, facts = _play(Place(Path(name)), view, heed)
    _report(tasks, facts)


def _parent() -> str | None:
    """Where the folder is made: sockets stand in it, and their paths must be short (unix(7))."""
    return None if len(tempfile.gettempdir()) <= LONGEST_PARENT else "/tmp"  # noqa: S108 - made private


def _play(place: Place, view: Screen, heed: Heed) -> tuple[Tasks, list[str]]:
    """The story from the first process to the last; returns its tasks and its facts."""
    view.tell(f"starting TaskHub in {place.folder}: a root, a worker, an API, an event server")
    with place.running():
        ready = place.wait_ready()
        view.tell(f"ready at {place.url}; creating {len(story.PARTS)} tasks over HTTP")
        with closing(hub_of(place)) as hub:
            for part in story.PARTS:
                hub.post("/tasks", part.body)
            _watch(place, hub, view, story.may_kill, heed)
            killed_at = time.time()
            view.tell(f"kill -9 {_kill(place)}: the worker is dead in the middle of a task")
            tasks = _watch(place, hub, view, story.all_ended, heed)
        taken = story.takeover(tasks, killed_at)
        view.tell("every task has ended; stopping")
        stopped = place.stop()
    if wrong := story.complaints(tasks):
        raise exits.Failure(exits.FAILED, "the demo did not end as promised:", *wrong)
    return tasks, [
        f"ready after {say.duration(ready)}",
        f"the killed worker's task ran again after {say.duration(taken)}",
        f"stopped cleanly in {say.duration(stopped)}",
    ]


def _kill(place: Place) -> int:
    try:
        return place.kill_worker()
    except Unreachable as error:
        raise place.failure("the worker does not answer") from error


def _watch(
    place: Place, hub: Client, view: Screen, over: Callable[[Tasks], bool], heed: Heed
) -> Tasks:
    """Show the tasks until this is over; returns them as they are then."""
    end = time.monotonic() + STEP_WITHIN
    while time.monotonic() < end:
        heed()
        place.must_live()
        tasks: Tasks = hub.get("/tasks", limit=len(story.PARTS))["items"]
        view.show(tasks)
        if over(tasks):
            return tasks
        time.sleep(LOOK_EVERY)
    raise place.failure(f"the tasks did not come on in {STEP_WITHIN:g} s")


def _report(tasks: Tasks, facts: list[str]) -> None:
    say.data()
    rows = [
        (
            task["title"],
            task["status"],
            task["attempts"],
            say.duration(story.waited(task)),
            say.duration(story.ran(task)),
        )
        for task in sorted(tasks, key=lambda each: str(each["id"]))
    ]
    say.table(("TASK", "STATUS", "ATTEMPTS", "STARTED AFTER", "RAN FOR"), rows)
    say.data()
    for fact in facts:
        say.data(f"- {fact}")
    say.data()
    say.data("Where to look next:")
    width = max(map(len, NEXT))
    for words, what in NEXT.items():
        say.data(f"  {say.program()} {words.ljust(width)}  {what}")


@contextmanager
def _stopping_at_signals() -> Iterator[Heed]:
    """A stop or a closed terminal ends the demo as Ctrl-C does: everything is taken away first.

    Python drops what a handler raises where nobody can catch it, as in a weak reference's
    callback at an import; so the signal is noted too.
    """
    came: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def heed() -> None:
        if came:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield heed
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
