"""What the log must bear: hostile values, changed levels, other people's records."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from typing import Any, ClassVar

import pytest
from taskhub.obs import telemetry as t
from taskhub.obs.clef import TRACE_LIMIT, VALUE_LIMIT
from taskhub.obs.console import look
from taskhub.obs.logs import LogListener, foreign_logs

from tests.unit.obs.examples import NOON, TASK, Kept

HOSTILE = [
    '\n{"@l":"Error","@m":"forged"}',
    "\r\n",
    "\x1b[31mred\x1b[0m \x9b2J",
    "two\u2028lines\u2029or\x85three",
    "\u202egnp.exe",
    "\ud800 alone",
    "\x00\x7f",
    '"\\ quote',
]


def listener(level: str = "info", look: str = "clef") -> tuple[LogListener, list[bytes]]:
    """A listener of worker-1 and the lines that it writes."""
    kept = Kept()
    made = LogListener("taskhub-worker", "worker-1", kept, level, look, clock=lambda: NOON)  # type: ignore[arg-type]
    return made, kept.lines


def created(title: str) -> t.TaskCreated:
    """A task with this title was created."""
    return t.TaskCreated(task_id=TASK, title=title, type="simulate", queue="default")


@pytest.mark.parametrize("title", HOSTILE, ids=ascii)
def test_no_value_can_forge_or_break_a_line(title: str) -> None:
    """A title is a stranger's text: one event stays one line and one object, and reads back."""
    log, lines = listener()

    log(created(title))

    text = lines[0].decode()
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert json.loads(text)["Title"] in {title, title.replace("\ud800", "\\ud800")}


@pytest.mark.parametrize("title", HOSTILE, ids=ascii)
def test_no_value_moves_the_cursor_of_a_terminal(title: str) -> None:
    """In columns too a title stays where it is, in one line and without a colour of its own."""
    log, lines = listener(look="console")

    log(created(title))

    assert lines[0].decode().isprintable()


def test_a_long_value_is_cut_and_says_so() -> None:
    """A 100 kB error text must not become 100 kB of log for each attempt."""
    log, lines = listener()

    log(t.TaskFailed(task_id=TASK, type="x", attempt=1, error="e" * 100_000))

    line = json.loads(lines[0])
    assert line["Error"] == "e" * VALUE_LIMIT + "... (99000 characters more)"
    assert len(lines[0]) < 4 * VALUE_LIMIT


def test_a_long_list_stays_a_list() -> None:
    """A reload that changes a hundred keys is told in one line that programs still read."""
    log, lines = listener()

    log(t.Reloaded(changes=tuple(f"{'k' * 2_000}{number}" for number in range(102))))

    changes = json.loads(lines[0])["Changes"]
    assert (len(changes), changes[-1]) == (101, "(2 more)")
    assert changes[0].endswith("... (1001 characters more)")


def test_of_a_long_trace_the_end_is_kept() -> None:
    """The error itself stands at the end of a Python traceback."""
    log, lines = listener()

    log(t.LoopBlocked(seconds=1.0, trace="frame\n" * 10_000 + "here"))

    trace = json.loads(lines[0])["@x"]
    assert trace.endswith("frame\nhere")
    assert len(trace) < TRACE_LIMIT + 100


def test_a_value_that_json_cannot_hold_is_still_told() -> None:
    """The log must not raise into the program that it watches."""
    log, lines = listener()

    fields: dict[Any, Any] = {5: object, "Path": "/data/\udcff"}
    log(t.HandlerSaid(task_id=TASK, attempt=1, severity="info", text="hi", fields=fields))

    line = json.loads(lines[0])
    assert (line["5"], line["Path"]) == ("<class 'object'>", "/data/\\udcff")


def test_a_handlers_property_cannot_pass_for_one_of_ours() -> None:
    """Handlers name their properties as they like; the line still tells the truth about itself."""
    log, lines = listener()
    fields = {"app": "x", "@l": "y", "TaskId": "z", "Url": "u"}

    log(t.HandlerSaid(task_id=TASK, attempt=1, severity="info", text="hi", fields=fields))

    line = json.loads(lines[0])
    assert (line["app"], line["@l"], line["TaskId"]) == ("taskhub-worker", "Information", TASK)
    assert [line[name] for name in ("app_", "@@l", "TaskId_", "Url")] == ["x", "y", "z", "u"]


def test_the_level_changes_while_it_runs() -> None:
    """A reload makes the log louder or quieter without a restart."""
    log, lines = listener("warning")
    request = t.RequestServed(method="GET", route="/x", status=200, seconds=0.1, request_id="r")

    log(t.Heartbeat())
    log.set_level("debug")
    log(t.Heartbeat())
    log(request)
    log.set_level("error")
    log(request)
    log(t.Complained(text="no"))

    assert [json.loads(line)["@i"] for line in lines] == ["Heartbeat", "RequestServed"]


def levels_of(log: LogListener, lines: list[bytes], *events: t.Telemetry) -> list[str]:
    """The actors of the lines that these events make."""
    lines.clear()
    for event in events:
        log(event)
    return [json.loads(line)["ActorId"] for line in lines]


ASKED = t.RequestServed(method="GET", route="/x", status=200, seconds=0.1, request_id="r")
WORKED = t.TaskReleased(task_id=TASK)
BORN = t.ActorChanged(actor="worker-1/pool", state="ready")
OTHER = t.ActorChanged(actor="worker-2/pool", state="ready")


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, ["worker-1/pool", "worker-1"]),
        ({"pool": "error"}, ["worker-1"]),
        ({"pool": "debug"}, ["worker-1/pool", "worker-1/pool", "worker-2/pool", "worker-1"]),
        ({"worker-1/pool": "debug"}, ["worker-1/pool", "worker-1/pool", "worker-1"]),
        ({"worker-1/pool": "info", "pool": "debug"},
         ["worker-1/pool", "worker-2/pool", "worker-1"]),
        ({"worker-1": "warning"}, []),
        ({"worker-1": "warning", "pool": "info"}, ["worker-1/pool"]),
        ({"api": "debug"}, ["worker-1/api", "worker-1/pool", "worker-1"]),
    ],
)  # fmt: skip
def test_each_actor_may_be_as_loud_as_it_is_wanted(
    named: dict[str, str], expected: list[str]
) -> None:
    """Its own full name is stronger than its role, and that than its process."""
    log, lines = listener()

    log.set_level("info", named)

    assert levels_of(log, lines, ASKED, WORKED, BORN, OTHER, t.Said(text="x")) == expected


def test_a_handler_may_be_listened_to_alone() -> None:
    """`job.log.debug` of the pool, without the debugging of everybody else."""
    log, lines = listener()
    log.set_level("info", {"pool": "debug"})
    fields: dict[str, str] = {}

    log(t.HandlerSaid(task_id=TASK, attempt=1, severity="debug", text="half", fields=fields))
    log(ASKED)

    assert [json.loads(line)["@m"] for line in lines] == ["half"]


def test_a_handler_chooses_the_level_of_its_lines() -> None:
    """`job.log.debug` is silent where debug is."""
    log, lines = listener("info")
    for severity in ("debug", "info", "error", "never heard of"):
        log(t.HandlerSaid(task_id=TASK, attempt=1, severity=severity, text="x", fields={}))

    levels = [json.loads(line)["lvl"] for line in lines]

    assert levels == ["Information", "Error", "Information"]


def test_trouble_that_ends_is_good_news() -> None:
    """The level of a state follows the state."""
    log, lines = listener()
    for state in ("failed", "degraded", "ok"):
        log(t.StateChanged(part="store", state=state))

    levels = [json.loads(line)["lvl"] for line in lines]

    assert levels == ["Error", "Warning", "Information"]


@pytest.mark.parametrize(
    ("what", "detail", "level"),
    [
        ("spawned", "", "Information"),
        ("exited", "exit code 0", "Information"),
        ("exited", "exit code 70", "Warning"),
        ("exited", "signal SIGKILL", "Warning"),
        ("killed", "frozen", "Warning"),
    ],
)
def test_a_process_that_ends_as_it_should_is_no_warning(what: str, detail: str, level: str) -> None:
    """Each deploy stops every process."""
    log, lines = listener()

    log(t.ProcessChanged(actor="tree/worker-1", pid=1, what=what, detail=detail))

    assert json.loads(lines[0])["lvl"] == level


def test_an_event_that_nobody_described_is_told_by_its_fields() -> None:
    """Nothing is lost while its line is not yet written."""

    class Fresh(t.Telemetry, frozen=True, kw_only=True):
        message: ClassVar[str] = "Fresh"
        task_id: str

    log, lines = listener()
    log(Fresh(task_id=TASK))

    line = json.loads(lines[0])
    assert (line["@m"], line["TaskId"]) == ("Fresh", TASK)


async def test_records_of_libraries_come_into_the_same_log() -> None:
    """One place to look: asyncio's, warnings' and everybody's records, tracebacks in @x."""
    log, lines = listener()
    with foreign_logs(log):
        logging.getLogger("some.library").warning("odd: %s", "value\nforged")
        asyncio.get_running_loop().call_exception_handler(
            {"message": "in a callback", "exception": ZeroDivisionError("by zero")}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)
            warnings.warn("old way", DeprecationWarning, stacklevel=1)
        logging.getLogger("x").error(*("does %s not %s fit", "this"))
        logging.getLogger("chatty").info("setting up plugin seven")

    seen: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert [line["Logger"] for line in seen] == ["some.library", "asyncio", "py.warnings", "x"]
    assert seen[0]["@m"] == "odd: value\nforged"
    assert "ZeroDivisionError: by zero" in seen[1]["@x"]
    assert "old way" in seen[2]["@m"]


def test_foreign_records_go_back_where_they_went() -> None:
    """A test, or a program that embeds us, keeps its own handlers."""
    log, lines = listener()
    before = list(logging.getLogger().handlers)

    with foreign_logs(log):
        pass
    logging.getLogger("x").warning("not for us")

    assert logging.getLogger().handlers == before
    assert lines == []


@pytest.mark.parametrize(
    ("setting", "terminal", "environment", "expected"),
    [
        ("auto", True, {}, "colour"),
        ("auto", True, {"NO_COLOR": "1"}, "console"),
        ("auto", True, {"NO_COLOR": ""}, "colour"),
        ("auto", True, {"TERM": "dumb"}, "console"),
        ("auto", False, {}, "clef"),
        ("clef", True, {}, "clef"),
        ("console", False, {}, "console"),
    ],
)
def test_lines_look_as_their_reader_needs_them(
    setting: str, terminal: bool, environment: dict[str, str], expected: str
) -> None:
    """People get columns, machines JSON, and NO_COLOR is honoured."""
    assert look(setting, terminal=terminal, environment=environment) == expected


def test_columns_tell_who_what_and_the_rest() -> None:
    """Time, level, actor, sentence, and only those properties that the sentence left out."""
    log, lines = listener(look="console")

    log(created("Resize images"))
    log(t.LoopBlocked(seconds=1.0, trace="one\n  two"))

    first, second = (line.decode() for line in lines)
    assert " info  worker-1/api " in first
    assert first.endswith(f"TaskCreated {TASK} Resize images  Type=simulate Queue=default")
    assert " WARN  worker-1 " in second
    assert second.endswith("\n    one\n      two")


def test_colours_change_no_text() -> None:
    """Without its colours a line is the plain one."""
    (log, plain), (bright, coloured) = listener(look="console"), listener(look="colour")

    log(t.Said(text="hello"))
    bright(t.Said(text="hello"))

    marks = ["\x1b[2m", "\x1b[32m", "\x1b[0m"]
    text = coloured[0].decode()
    assert text != plain[0].decode()
    for mark in marks:
        text = text.replace(mark, "")
    assert text == plain[0].decode()
