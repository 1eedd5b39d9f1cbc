"""The log of a process, opened as its configuration says."""

from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from taskhub.config.sections import LogsSection
from taskhub.obs import telemetry as t
from taskhub.obs.files import DailyFile
from taskhub.obs.start import app_of, open_log, refusal

SAYS = """
from taskhub.config.sections import LogsSection
from taskhub.obs.start import open_log
from taskhub.obs.telemetry import Said
with open_log(LogsSection({0}), "api-1") as log:
    log.listener(Said(text="hello"))
"""


@pytest.mark.parametrize(
    ("unit", "app", "stem"),
    [
        ("api-1", "taskhub-api", "api"),
        ("worker-2", "taskhub-worker", "worker"),
        ("worker", "taskhub-worker", "worker"),
        ("tree", "taskhub", "taskhub"),
        ("metrics-1", "taskhub", "taskhub"),
    ],
)
def test_each_process_writes_the_file_of_its_application(
    tmp_path: Path, unit: str, app: str, stem: str
) -> None:
    """api*.log, worker*.log, and one for the supervisor and the rest."""
    with open_log(LogsSection(directory=str(tmp_path)), unit) as log:
        log.listener(t.Heartbeat())
        logging.getLogger("some.library").warning("also here")

    (path,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    days = {f"{stem}{datetime.now(UTC):%Y%m%d}.log", f"{stem}{lines[0]['@t'][:10]}.log"}
    assert path.name in {day.replace("-", "") for day in days}
    assert [line["@i"] for line in lines] == ["Heartbeat", "LogRecord"]
    assert {line["app"] for line in lines} == {app} == {app_of(unit)}


@pytest.mark.parametrize(("settings", "is_json"), [("", True), ("format='console'", False)])
def test_without_a_directory_lines_go_to_standard_error(settings: str, is_json: bool) -> None:
    """For the journal and containers JSON, columns where they are asked for; stdout stays free."""
    program = [sys.executable, "-c", SAYS.format(settings)]

    said = subprocess.run(program, check=True, capture_output=True, text=True)

    assert said.stdout == ""
    assert said.stderr.startswith('{"@t":') == is_json
    assert "hello" in said.stderr
    assert "\x1b" not in said.stderr


def test_a_folder_that_cannot_be_one_is_refused_at_the_start(tmp_path: Path) -> None:
    """A log that nobody can write could not even say so."""
    (tmp_path / "file").write_text("")

    assert "File exists" in refusal(LogsSection(directory=str(tmp_path / "file")), "tree")
    assert refusal(LogsSection(directory=str(tmp_path / "new" / "logs")), "tree") == ""
    assert refusal(LogsSection(), "tree") == ""


def test_a_full_disk_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes, and the lines that are lost meanwhile are counted."""

    def full(_file: DailyFile, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DailyFile, "write", full)

    assert refusal(LogsSection(directory="/never/made"), "tree") == ""
