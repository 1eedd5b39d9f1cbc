"""What collects metrics and logs finds them where TaskHub leaves them."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from taskhub.config.load import load
from taskhub.obs.start import app_of

from tests.unit.obs.examples import GOLDEN

DEPLOY = Path(__file__).parents[3] / "deploy"
CONFIG = load(
    DEPLOY / "taskhub" / "supervisor.toml", {"Jwt__IssuerSigningKey": "k" * 32}, {}
).config
COLLECTORS = {
    "promtail/promtail.yml": r'labels: { job: (\S+), app: (\S+), __path__: "(\S+)" }',
    "alloy/config.alloy": r'"__path__" = "(\S+)", "job" = "(\S+)", "app" = "(\S+)"',
}
each_collector = pytest.mark.parametrize("name", COLLECTORS)


def watched(name: str) -> dict[str, tuple[str, str]]:
    """What a collector watches: path -> (job, app)."""
    found = re.findall(COLLECTORS[name], (DEPLOY / name).read_text())
    order = (2, 0, 1) if name.startswith("promtail") else (0, 1, 2)
    return {row[order[0]]: (row[order[1]], row[order[2]]) for row in found}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_the_scrape_file() -> None:
    """As it stands there."""
    check = ["promtool", "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]

    told = subprocess.run(check, check=False, capture_output=True, text=True)

    assert told.returncode == 0, told.stdout + told.stderr


def test_prometheus_asks_where_metrics_are_served() -> None:
    """The same host and port as in the configuration for services."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()

    assert f'targets: ["{CONFIG.metrics.host}:{CONFIG.metrics.port}"]' in text
    assert "job_name: taskhub" in text


@each_collector
@pytest.mark.parametrize("unit", ["api-1", "worker-2", "tree", "scheduler-1"])
def test_each_log_file_is_read_once_under_its_application(name: str, unit: str) -> None:
    """`{job="taskhub", app="taskhub-worker"}` finds the workers' lines and no others."""
    app = app_of(unit)
    file = f"{CONFIG.logs.directory}/{app.removeprefix('taskhub-')}20250928.log"

    labels = [found for path, found in watched(name).items() if fnmatch.fnmatch(file, path)]

    assert labels == [("taskhub", app)]


@each_collector
def test_the_time_of_a_line_is_its_own(name: str) -> None:
    """A collector that was away must not date everything to its return."""
    text = (DEPLOY / name).read_text()

    assert re.search(r"""time(: | = )('"@t"'|"\\"@t\\"")""", text)
    assert "RFC3339Nano" in text


@each_collector
def test_no_label_grows_without_bounds(name: str) -> None:
    """The file's name, with its day, is dropped; of a line's own only the level is one."""
    text = (DEPLOY / name).read_text()

    labels = re.findall(
        r"^ *- labels: \{ (.*) \}|stage\.labels \{\n *values = \{(.*)\}", text, re.MULTILINE
    )

    assert re.search(r'labeldrop: \[filename\]|label_drop \{\n    values = \["filename"\]', text)
    assert [re.findall(r"\w+", "".join(found)) for found in labels] == [["level"]]


@each_collector
def test_ids_are_structured_metadata(name: str) -> None:
    """One finds a task or a trace by them, and they make no streams."""
    text = (DEPLOY / name).read_text()

    found = re.search(r"structured_metadata(?:: \{| \{\n *values = \{)(.*)\}", text)

    assert found
    assert re.findall(r"[A-Za-z]+", found[1]) == ["TaskId", "TraceId"]


@each_collector
def test_what_is_taken_out_of_a_line_is_in_it(name: str) -> None:
    """Each name of the pipeline is a member of some golden line."""
    text = (DEPLOY / name).read_text()
    fields = {field for line in GOLDEN.read_bytes().splitlines() for field in json.loads(line)}

    (expressions,) = re.findall(r"expressions(?:: | = )\{(.*)\}", text)
    taken = re.findall(r"(?:: | = )[\"'\\]*(@?\w+)", expressions)

    assert taken == ["@t", "lvl", "TaskId", "TraceId"]
    assert set(taken) <= fields
