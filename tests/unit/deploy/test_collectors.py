"""What collects metrics and logs finds them where TaskHub leaves them."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from taskhub.config.load import load
from taskhub.obs.start import app_of

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
    """The file's name, with its day, is dropped; ids never become labels."""
    text = (DEPLOY / name).read_text()

    assert re.search(r'labeldrop: \[filename\]|label_drop \{\n    values = \["filename"\]', text)
    assert not re.search(r"^\s*(-\s*labels:\s*$|stage\.labels)", text, re.MULTILINE)
