"""The dashboard: every panel asks for what there is, in a way that Grafana understands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboards.build import FILE, text
from prometheus_client.parser import text_string_to_metric_families
from taskhub.obs.merge import classic
from taskhub.obs.metrics import render

from tests.unit.obs.examples import GOLDEN
from tests.unit.obs.test_metrics import full

Panel = dict[str, Any]

DASHBOARD = json.loads(FILE.read_text())
PANELS: list[Panel] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {item["name"]: item for item in DASHBOARD["templating"]["list"]}
OUTSIDE = {"job", "instance"}  # labels that Prometheus adds
UNITS = {"short", "s", "ops", "reqps", "bytes"}

SELECTOR = re.compile(r"\b([a-z_]+[a-z])\{([^}]*)\}")
MATCHER = re.compile(r'([a-z_]+)(?:=~|!~|!=|=)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")
LOG_FIELD = re.compile(r'[a-z]+="(?:\[\\"([^"\\]+)\\"\]|([A-Za-z]+))"')


def queries(source: str) -> Iterator[str]:
    """The queries of all panels for this kind of data source."""
    for panel in PANELS:
        for target in panel["targets"]:
            if target["datasource"]["type"] == source:
                yield target["expr"]


METRIC_QUERIES = list(queries("prometheus")) + [
    variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]
    for variable in VARIABLES.values()
    if variable["type"] == "query"
]
LOG_QUERIES = list(queries("loki"))


def exposed() -> dict[str, set[str]]:
    """Every series name that a TaskHub serves, with its labels."""
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(classic(render(full().registry)).decode()):
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


EXPOSED = exposed()


def test_the_file_is_what_its_builder_makes() -> None:
    """Change dashboards/build.py, then run `python -m dashboards.build`."""
    assert FILE.read_text() == text()


@pytest.mark.parametrize("query", METRIC_QUERIES)
def test_every_metric_is_served_with_the_labels_that_are_asked_for(query: str) -> None:
    """A panel that asks for a misspelt name is empty for ever, and nobody is told."""
    selectors = SELECTOR.findall(query) or [(query, "")]
    known = set.union(OUTSIDE, *(EXPOSED.get(name, set()) for name, _ in selectors))
    grouped = {label.strip() for labels in GROUPING.findall(query) for label in labels.split(",")}

    assert [name for name, _ in selectors if name not in EXPOSED] == []
    assert grouped <= known
    for name, matchers in selectors:
        assert set(MATCHER.findall(matchers)) <= EXPOSED[name] | OUTSIDE


def test_the_check_of_names_can_fail() -> None:
    """The control: the same look at a metric that there is not finds it."""
    selectors = SELECTOR.findall('sum(rate(taskhub_api_tasks_invented_total{job=~"$job"}[5m]))')

    assert [name for name, _ in selectors if name not in EXPOSED] == [
        "taskhub_api_tasks_invented_total"
    ]


@pytest.mark.parametrize("query", LOG_QUERIES)
def test_every_log_field_is_written(query: str) -> None:
    """The fields that a query takes out of a line stand in some golden line."""
    fields = {name for line in GOLDEN.read_bytes().splitlines() for name in json.loads(line)}
    json_stage = query.partition("| json ")[2].partition("|")[0].partition("[$__")[0]

    asked = {first or second for first, second in LOG_FIELD.findall(json_stage)}

    assert asked
    assert asked <= fields


def test_words_that_a_log_query_looks_for_are_written() -> None:
    """A sentence that has changed would leave its panel empty."""
    lines = GOLDEN.read_text()
    words = [word for query in LOG_QUERIES for word in re.findall(r'\|= "([^"]+)"', query)]

    assert words == ["Audit heartbeat saved"]
    assert all(word in lines for word in words)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    """As a rule file, with Grafana's variables filled in, promtool reads them all."""
    filled = [re.sub(r"\$__(rate_interval|range)", "5m", query) for query in METRIC_QUERIES]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(filled)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    told = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", str(file)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(METRIC_QUERIES)} rules found" in told.stdout


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: Panel) -> None:
    """A title, a sentence, a unit, a chosen data source, and a legend for each query."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert target["datasource"]["uid"].strip("${}") in VARIABLES
        assert target["legendFormat"] or panel["type"] == "logs"


@pytest.mark.parametrize("query", list(queries("prometheus")))
def test_a_query_is_about_the_chosen_instances_and_any_resolution(query: str) -> None:
    """Each selector keeps to the chosen job and instance; each rate fits the zoom."""
    for _, matchers in SELECTOR.findall(query):
        assert 'job=~"$job", instance=~"$instance"' in matchers
    windows = re.findall(r"rate\([^[]*\[([^]]*)\]", query)
    assert set(windows) <= {"$__rate_interval"}
    counters = re.findall(r"(\w*)\(\w+(?:_total|_bucket|_count|_sum)\{", query)
    assert set(counters) <= {"rate", "increase"}


def test_panels_do_not_overlap() -> None:
    """Grafana would push them about."""
    taken = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in DASHBOARD["panels"]
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_can_be_provisioned_anywhere() -> None:
    """A fixed uid to link to, chosen data sources, and the rows in the order of a look."""
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]

    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("taskhub", "TaskHub")
    assert DASHBOARD["refresh"] == "10s"
    assert rows == ["Overview", "API", "Workers", "Actors", "Logs"]
    assert [VARIABLES[name]["allValue"] for name in ("job", "instance", "unit")] == [".+"] * 3
    assert VARIABLES["prometheus_datasource"]["type"] == "datasource"
    assert VARIABLES["loki_datasource"]["type"] == "datasource"
