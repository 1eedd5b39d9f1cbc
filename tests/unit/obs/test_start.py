"""The log of a process, opened as its configuration says."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from taskhub.config.sections import LogsSection
from taskhub.obs import telemetry as t
from taskhub.obs.files import DailyFile
from taskhub.obs.journal import is_journal
from taskhub.obs.start import app_of, open_log, refusal

from tests.waiting import blocking_until

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


class Shut(DailyFile):
    """A folder that is away until it is back."""

    is_away = True

    def write(self, data: bytes) -> int:
        """As long as it is away nothing can be written."""
        if self.is_away:
            raise OSError(errno.ENOENT, "No such file or directory")
        return super().write(data)


def test_lines_that_were_lost_are_told_when_lines_arrive_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and how many: not while nobody could read it."""
    monkeypatch.setattr("taskhub.obs.start.DailyFile", Shut)
    with open_log(LogsSection(directory=str(tmp_path)), "api-1") as log:
        log.sink._retry, log.sink._limit = 0.01, 10_000
        for _ in range(100):
            log.listener(t.Heartbeat())
        dropped = log.sink.dropped
        assert (dropped > 0, log.losses()) == (True, 0)
        monkeypatch.setattr(Shut, "is_away", False)
        blocking_until(lambda: log.sink.flows)
        assert (log.losses(), log.losses()) == (dropped, 0)

    (path,) = tmp_path.iterdir()
    assert path.read_bytes().count(b"\n") == 100 - dropped


def journal(folder: Path) -> tuple[dict[str, str], Any]:
    """A file that passes for the journal's stream, and the variable that says so."""
    stream = (folder / "stream").open("wb")
    found = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}, stream


@pytest.mark.parametrize("settings", ["", "format='console'"])
def test_the_journal_gets_a_priority_on_each_line_and_no_second_time(
    tmp_path: Path, settings: str
) -> None:
    """`journalctl -p err` finds what is wrong; JSON keeps its own time, columns have none."""
    variables, stream = journal(tmp_path)
    program = SAYS.replace("import Said", "import StacksDumped").replace(
        'Said(text="hello")', 'StacksDumped(actor="tree", trace="a\\nb")'
    )
    with stream:
        subprocess.run(
            [sys.executable, "-c", program.format(settings)],
            check=True, stderr=stream, env={**os.environ, **variables},
        )  # fmt: skip

    lines = (tmp_path / "stream").read_text().splitlines()
    assert {line[:3] for line in lines} == {"<6>"}
    if settings:
        assert [line[3:].split()[0] for line in lines] == ["info", "a", "b"]
    else:
        assert json.loads(lines[0][3:])["@x"] == "a\nb"


def test_what_is_not_the_journals_stream_gets_no_priorities(tmp_path: Path) -> None:
    """The variable goes to every child, also to one whose output somebody has redirected."""
    variables, stream = journal(tmp_path)
    stream.close()
    with (tmp_path / "other").open("wb") as other:
        assert not is_journal(other.fileno(), variables)
        assert not is_journal(other.fileno(), {})


def test_a_full_disk_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes, and the lines that are lost meanwhile are counted."""

    def full(_file: DailyFile, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DailyFile, "write", full)

    assert refusal(LogsSection(directory="/never/made"), "tree") == ""


def test_a_process_loads_no_console_that_it_does_not_use() -> None:
    """The log's library would, where there is one; whoever wants it later still gets it."""
    check = "import sys, taskhub.obs.start as _; print('rich' in sys.modules); import rich"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("False\n", "")
