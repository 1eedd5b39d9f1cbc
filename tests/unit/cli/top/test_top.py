"""`taskhub top`: what two looks come to, and what is shown of it with and without a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from taskhub.cli.supervision import Process
from taskhub.cli.top.frame import Frame, frame
from taskhub.cli.top.look import Look
from taskhub.cli.top.picture import drawn, lines

from tests.unit.cli.conftest import Run
from tests.unit.cli.test_supervision import process

DONE = "taskhub_worker_tasks_processed_total"
PENDING, RUNNING = "Pending", "Processing"


def key(**labels: str) -> tuple[tuple[str, str], ...]:
    """Labels as a look keeps them."""
    return tuple(sorted(labels.items()))


def actor(name: str, posted: int = 0, state: str = "ready") -> dict[str, Any]:
    """A row of a tree."""
    return {
        "name": name, "state": state, "uptime": 3.0, "restarts": 1, "mailbox_depth": 2,
        "mailbox_limit": 10, "mailbox_posted": posted, "last_error": None,
    }  # fmt: skip


def seen(at: float, posted: int = 0, /, **series: Any) -> Look:
    """A look at one worker."""
    worker = Process("worker-1", 42, [actor("worker-1/pool", posted)], [], ready=True)
    return Look(at, datetime(2030, 1, 1, tzinfo=UTC), [worker], series)


def done(value: float, unit: str = "worker-1", result: str = "success") -> dict[Any, float]:
    """The counter of attempts."""
    return {key(unit=unit, result=result): value}


def test_a_rate_is_what_was_counted_between_two_looks() -> None:
    """A second, and of each result."""
    before = seen(10.0, 5, **{DONE: done(100.0) | done(7.0, result="failed")})
    after = seen(14.0, 25, **{DONE: done(300.0) | done(9.0, result="failed")})

    picture = frame(before, after)
    assert (picture.rates["done"], picture.rates["failed"]) == (50.0, 0.5)
    assert picture.workers[0].done == 50.0
    assert picture.actors[0].messages == 5.0


def test_a_process_that_began_anew_has_counted_since_then() -> None:
    """Its counter is smaller than before, and no rate is below zero."""
    picture = frame(seen(0.0, 50, **{DONE: done(100.0)}), seen(2.0, 3, **{DONE: done(8.0)}))

    assert picture.rates["done"] == 4.0
    assert picture.actors[0].messages == 0.0


def test_two_looks_at_one_moment_have_no_rate() -> None:
    """Nothing is divided by nothing."""
    picture = frame(seen(1.0, **{DONE: done(1.0)}), seen(1.0, **{DONE: done(2.0)}))

    assert picture.rates["done"] == 0.0


def test_queues_that_several_processes_count_are_not_added_up() -> None:
    """They look at the same table."""
    depth = {
        key(unit="tree", queue="images", status=PENDING): 5.0,
        key(unit="worker-1", queue="images", status=PENDING): 7.0,
        key(unit="tree", queue="images", status=RUNNING): 2.0,
    }
    oldest = {key(unit="tree", queue="images", status=PENDING): 90.0}
    series = {"taskhub_queue_depth": depth, "taskhub_queue_oldest_age_seconds": oldest}

    (queue,) = frame(seen(0.0), seen(1.0, **series)).queues
    assert (queue.name, queue.pending, queue.running, queue.oldest) == ("images", 7, 2, 90.0)


def ill() -> Frame:
    """A picture with something of everything, and odd names."""
    part = {"name": "store", "state": "failed", "detail": "no\x1b room"}
    sick = Process("api-1", 7, [actor("api-1/api", state="restarting")], [], False, [part])
    depth = {key(unit="tree", queue="odd\x1b[31m", status=PENDING): 12_345.0}
    before, after = seen(0.0), seen(1.0, taskhub_queue_depth=depth)
    return frame(before, Look(1.0, after.utc, [*after.processes, sick], after.series))


def test_a_picture_as_lines() -> None:
    """What is not ready comes first, and nothing moves the cursor."""
    text = list(lines(ill()))

    assert text[0].startswith("TaskHub 2030-01-01T00:00:00Z  created 0/s  done 0/s")
    assert text[1] == "! api-1 is not ready: store: no\\x1b room"
    rows = [line.split() for line in text]
    assert ["odd\\x1b[31m", "12,345", "0", "0", "ms"] in rows
    names = [row[0] for row in rows if row and row[0].endswith(("/pool", "/api"))]
    assert names == ["api-1/api", "worker-1/pool"]


def test_a_picture_for_a_terminal() -> None:
    """The same, as tables."""
    from rich.console import Console

    console = Console(width=120, record=True, file=StringIO(), color_system=None)
    console.print(drawn(ill()))
    text = console.export_text()

    assert "no\\x1b room" in text
    assert "worker-1/pool" in text
    assert "\x1b" not in text


async def _exposition(_: dict[str, Any]) -> bytes:
    return b'# TYPE taskhub_queue_depth gauge\ntaskhub_queue_depth{queue="a",status="Pending"} 3\n'


def test_one_picture_for_scripts(run: Run, folder: Path) -> None:
    """Plain text, or one JSON document on a line."""
    with process(folder / "run/tree.sock", exposition=_exposition):
        plain, as_json = (
            run("top", "--once", "--every", "0.1"),
            run("top", "--once", "--every", "0.1", "--json"),
        )

    assert (plain.code, as_json.code) == (0, 0)
    assert "QUEUE" in plain.out
    told = json.loads(as_json.out)
    assert told["queues"] == [{"name": "a", "pending": 3, "running": 0, "oldest": 0.0}]
    assert {"at", "rates", "workers", "actors", "ill"} <= told.keys()


def test_nobody_there_is_code_3(run: Run) -> None:
    """A script can wait for it."""
    ended = run("top", "--once", "--every", "0.1")

    assert (ended.code, ended.err) == (3, "taskhub: no TaskHub runs here\n")


def test_ctrl_c_ends_it_as_wished(folder: Path) -> None:
    """On a terminal, which is left as it was: the screen of before is shown again."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "taskhub", "top", "--every", "0.1"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text = b""
        while b"no TaskHub runs here" not in text:
            text += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        text += rest(ours)
        code = process.wait()

    assert code == 0
    assert b"\x1b[?1049h" in text  # the other screen
    assert b"\x1b[?1049l" in text


def rest(terminal: int) -> bytes:
    """Everything that a terminal still says until its last program has left it."""
    text = b""
    with suppress(OSError):
        while more := os.read(terminal, 65_536):
            text += more
    os.close(terminal)
    return text
