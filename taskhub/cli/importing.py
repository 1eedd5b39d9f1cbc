"""`taskhub create --from`: the tasks of a file, a line of JSON each, in batches that may be sent
again without storing anything twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import uuid4

import msgspec

from taskhub.cli import client, exits, say

TASKS = 1_000
"""Tasks in one batch: the API takes no more."""
BYTES = 4 * 1024 * 1024
"""Of the lines of one batch, where one line alone is not longer: half of what the API takes."""
KEY_LIMIT = 240
"""Characters of a key: the number of the batch comes after it."""


class Line(NamedTuple):
    """A task, and where it stands in the file."""

    number: int
    text: bytes


def create_from(file: Iterable[bytes], key: str | None, *, as_json: bool) -> int:
    """Store the tasks of a file and print their ids; what may pass is tried again for a while.

    The batches of a file are the same each time, and so are their keys: who runs it again with the
    same key goes on where it stopped.
    """
    hub, key = client.from_environment(is_patient=True), uuid4().hex if key is None else key
    if len(key) > KEY_LIMIT:
        raise exits.Failure(exits.USAGE, f"--key: at most {KEY_LIMIT} characters with --from")
    stored = 0
    try:
        for number, batch in enumerate(_batches(_lines(file)), 1):
            stored += _send(hub, batch, f"{key}/{number}", as_json=as_json)
    except exits.Failure as failure:
        raise exits.Failure(
            failure.code, *failure.lines, *_way_on(failure, stored, key)
        ) from failure
    say.note(f"taskhub: stored {say.tasks(stored)}")
    return exits.OK


def _send(hub: client.Client, batch: list[Line], key: str, *, as_json: bool) -> int:
    """Store a batch, all or none; how many these are."""
    tasks = [msgspec.Raw(line.text) for line in batch]  # as they stand, to the byte
    try:
        answer = hub.post("/tasks/batch", {"tasks": tasks}, key)
    except exits.Failure as failure:
        raise _placed(failure, batch) from failure
    for item in answer["items"]:
        say.json_line(item) if as_json else say.data(say.printable(str(item["id"])))
    return len(answer["items"])


def _placed(failure: exits.Failure, batch: list[Line]) -> exits.Failure:
    """The same with lines of the file in place of pointers into the batch."""
    from taskhub.client.errors import Problem

    problem = failure.__cause__
    if not isinstance(problem, Problem):
        return failure
    lines = [_line_of(item.pointer, item.detail, batch) for item in problem.errors]
    return exits.Failure(failure.code, failure.lines[0], *map(say.printable, lines))


def _line_of(pointer: str, detail: str, batch: list[Line]) -> str:
    place, _, member = pointer.removeprefix("/tasks/").partition("/")
    if not place.isdecimal() or int(place) >= len(batch):
        return f"  {pointer.removeprefix('/')}: {detail}"
    of = f"{member}: " if member else ""
    return f"  line {batch[int(place)].number}: {of}{detail}"


def _way_on(failure: exits.Failure, stored: int, key: str) -> Iterator[str]:
    yield f"stored before that: {say.tasks(stored)}"
    if stored or failure.code == exits.UNREACHABLE:  # the answer may be lost, not the batch
        yield f"to go on, run it again with --key {key}: nothing is stored twice"


def _lines(file: Iterable[bytes]) -> Iterator[Line]:
    """Each line that is not empty; raises Failure at one that is no task."""
    for number, line in enumerate(file, 1):
        if text := line.strip():
            _check(number, text)
            yield Line(number, text)


def _check(number: int, text: bytes) -> None:
    """The API would refuse the whole batch and could not say which line is no JSON."""
    try:
        msgspec.json.decode(text, type=dict)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        what = f'line {number}: expected a task, such as {{"title": "Resize images"}}'
        raise exits.Failure(exits.USAGE, what) from error


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """As many lines as fit into one request; of a batch with a bad line nothing is sent."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == TASKS or size + len(line.text) > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.text)
    if batch:
        yield batch
