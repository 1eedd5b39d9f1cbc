"""Whatever strangers put into titles, errors and headers: a line says what happened, no more."""

from __future__ import annotations

import json
import logging
import re
from unicodedata import bidirectional, category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.obs import telemetry as t
from taskhub.obs.console import Look
from taskhub.obs.logs import LogListener

from tests.unit.obs.examples import NOON, TASK, Kept

HOSTILE = st.lists(
    st.sampled_from(
        ["\n", "\r\n", "\x85", "\u2028", "\u2029", "\x1b[31m", "\x9b2J", "\x1b]0;t\x07", "\u202e",
         "\x00", "\xad", "\u061c", "\U000e0041", "\x7f", "\ufeff", "\ud800",
         '"', "\\", "<3>", '{"@l":"Error","@m":"forged"}',
         "12:00:00.123 ERROR tree forged", "    "]
    )
    | st.text(max_size=20),
    max_size=6,
).map("".join)  # fmt: skip
LOOKS: tuple[Look, ...] = ("clef", "console", "journal", "journal-console")
BREAKS = {"Cc", "Zl", "Zp", "Cs"}
"""Categories of Unicode: controls, separators of lines and paragraphs, surrogates."""
TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Bidirectional classes of what turns text round."""
HIDDEN = set("\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\U000e0001\U000e0041")
COLOURS = re.compile(r"\x1b\[(?:2|32|33|1;31|0)m")


def events(text: str) -> list[t.Telemetry]:
    """Every way that a stranger's text has into the log."""
    return [
        t.TaskCreated(task_id=TASK, title=text, type=text, queue=text, request_id=text),
        t.TaskFailed(task_id=TASK, type=text, attempt=1, error=text),
        t.HandlerSaid(task_id=TASK, attempt=1, severity=text, text=text, fields={text: text}),
        t.RateLimited(limit="create", who=text, request_id=text),
        t.ActAudited(subject=text, act=text, task_id=TASK, address=text, request_id=text),
        t.ServerSaid(text=text),
    ]


def harmless(line: str) -> bool:
    """Whether nothing in it breaks it, moves a cursor, or looks like something else."""
    return not any(
        category(mark) in BREAKS or bidirectional(mark) in TURNS or mark in HIDDEN for mark in line
    )


def lines(look: Look, text: str) -> list[str]:
    """What these events, and a library's record, are written as."""
    kept = Kept()
    log = LogListener("taskhub-api", "api-1", kept, "debug", look, clock=lambda: NOON)
    for event in events(text):
        log(event)
    log.foreign(logging.LogRecord(text, logging.ERROR, "", 0, text, None, None))
    return [line.decode() for line in kept.lines]


@given(HOSTILE)
@pytest.mark.parametrize("look", LOOKS)
def test_one_event_is_one_line_that_moves_no_cursor(look: Look, text: str) -> None:
    """No second line, no escape, no mark that hides or turns text round; JSON reads back."""
    found = lines(look, text)

    assert len(found) == len(events(text)) + 1
    assert all(map(harmless, found))
    if look in {"clef", "journal"}:
        read = [json.loads(line[3:] if look == "journal" else line) for line in found]
        shown = text.encode("utf-8", "backslashreplace").decode()
        assert read[0]["Title"] == shown
        assert [line["lvl"] for line in read[:2]] == ["Information", "Error"]
        assert {line["unit"] for line in read} == {"api-1"}


@given(HOSTILE)
def test_colours_are_ours_alone(text: str) -> None:
    """Without our own colours nothing is left that a terminal would obey."""
    assert all(harmless(COLOURS.sub("", line)) for line in lines("colour", text))


@given(HOSTILE)
@pytest.mark.parametrize("look", ["console", "journal-console"])
def test_a_trace_cannot_pass_for_a_line(look: Look, text: str) -> None:
    """A message of an exception is in its traceback: each line of it is set in."""
    kept = Kept()
    log = LogListener("taskhub-worker", "worker-1", kept, "debug", look, clock=lambda: NOON)

    log(t.HandlerRaised(task_id=TASK, type="x", attempt=1, error="no", trace=text))

    _, *rest = kept.lines[0].decode().split("\n")
    prefix = "<4>    " if look == "journal-console" else "    "
    assert all(line.startswith(prefix) and harmless(line) for line in rest)
