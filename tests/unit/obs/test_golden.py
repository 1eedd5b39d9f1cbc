"""The log's promise to those who query it: every event has one line, and its names never change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from taskhub.obs import telemetry
from taskhub.obs.lines import LINES
from taskhub.obs.telemetry import Telemetry

from tests.unit.obs.examples import EXAMPLES, GOLDEN, TASK, written

KINDS = [
    kind for kind in Telemetry.__subclasses__() if kind.__module__.startswith(telemetry.__name__)
]
LOGGED = [event for event in EXAMPLES if event.message]


def line_of(kind: type[Telemetry]) -> dict[str, Any]:
    """The line of this kind's example."""
    event = next(event for event in EXAMPLES if type(event) is kind)
    line: dict[str, Any] = json.loads(written(event)[0])
    return line


def test_every_event_reads_as_it_always_did() -> None:
    """A renamed field would silently empty somebody's dashboard."""
    assert written(*EXAMPLES) == GOLDEN.read_bytes().splitlines()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_has_an_example_and_a_line(kind: type[Telemetry]) -> None:
    """Who adds an event says what it looks like, unless metrics alone tell it."""
    assert kind in {type(event) for event in EXAMPLES}
    assert (kind in LINES) == bool(kind.message)


def test_what_metrics_alone_tell_makes_no_line() -> None:
    """A line for each commit would drown the others."""
    assert len(written(*EXAMPLES)) == len(LOGGED) < len(EXAMPLES)


def test_each_line_begins_with_the_same_names() -> None:
    """Time, sentence, level, who says it, for which request and trace: null where there is none."""
    ids = ["ActorId", "RequestId", "TraceId"]
    first = ["@t", "@m", "@i", "@l", "lvl", "app", "unit", *ids]
    lines = [json.loads(line) for line in written(*EXAMPLES)]

    assert all(list(line)[: len(first)] == first for line in lines)
    assert all(
        line["ActorId"] and line["RequestId"] != "" and line["TraceId"] != "" for line in lines
    )


def test_both_names_of_the_level_are_written() -> None:
    """CLEF readers look for @l, our own queries for lvl."""
    lines = [json.loads(line) for line in written(*EXAMPLES)]

    assert all(line["@l"] == line["lvl"] for line in lines)
    assert {line["lvl"] for line in lines} == {"Debug", "Information", "Warning", "Error"}


def test_a_created_task_is_told_by_id_and_title() -> None:
    """The properties that were promised from the start."""
    line = line_of(telemetry.TaskCreated)

    assert line["@i"] == "TaskCreated"
    assert (line["Id"], line["Title"], line["TaskId"]) == (TASK, "Resize images", TASK)


def test_a_processed_task_is_told_by_id_duration_and_result() -> None:
    """The properties that were promised from the start, and a sentence for people."""
    line = line_of(telemetry.TaskProcessed)

    assert line["@m"] == f"TaskProcessed {TASK} 12.3 ms success"
    assert (line["Id"], line["DurationMs"], line["Result"]) == (TASK, 12.346, "success")
    assert (line["TaskId"], line["Attempt"], line["ActorId"]) == (TASK, 1, "worker-1/pool")


def test_the_heartbeat_has_its_exact_sentence() -> None:
    """People grep for it."""
    assert line_of(telemetry.Heartbeat)["@m"] == "Audit heartbeat saved"
