"""The dashboards: every panel asks for what there is, in a way that Grafana understands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboards.build import BOARDS, FOLDER, text
from prometheus_client.parser import text_string_to_metric_families
from taskhub.obs.merge import classic
from taskhub.obs.metrics import render

from tests.unit.obs.examples import GOLDEN
from tests.unit.obs.test_metrics import full

Panel = dict[str, Any]

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
PANELS: list[Panel] = [panel for board in DASHBOARDS.values() for panel in board["panels"]]
VARIABLES = {item["name"]: item for item in DASHBOARDS["overview"]["templating"]["list"]}
NODE = Path(__file__).parents[2] / "dashboards"
needs_node = pytest.mark.skipif(
    not ((NODE / "node_modules").exists() and shutil.which("node")),
    reason="needs Node.js 18 or newer and `scripts/install-node-parts`",
)
each_board = pytest.mark.parametrize("name", DASHBOARDS)
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


@each_board
def test_the_file_is_what_its_builder_makes(name: str) -> None:
    """Change dashboards/build.py, then run `python -m dashboards.build`."""
    assert (FOLDER / f"{name}.json").read_text() == text(name)


def test_there_are_no_other_files() -> None:
    """One that nobody builds any more would be provisioned for ever."""
    assert set(DASHBOARDS) == set(BOARDS) == {"overview", "api", "workers", "actors", "logs"}


@needs_node
def test_grafanas_own_types_accept_every_dashboard(tmp_path: Path) -> None:
    """@grafana/schema, strictly: no member that there is not, no value that means nothing."""
    head = f'import type {{ Classic }} from "{NODE}/classic";\nexport const made: Classic = '
    for name in DASHBOARDS:
        whole = (FOLDER / f"{name}.json").read_text()
        (tmp_path / f"{name}.ts").write_text(f"{head}{whole};\n")
    bad = (tmp_path / "api.ts").read_text().replace('"refresh": "10s"', '"refresh": 10', 1)
    (tmp_path / "bad.ts").write_text(bad.replace('"title": ', '"tittle": "x", "title": ', 1))
    project = {"extends": f"{NODE}/tsconfig.json", "include": ["*.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(project))

    tsc = ["node_modules/.bin/tsc", "--pretty", "false", "--project", str(tmp_path)]
    told = subprocess.run(tsc, cwd=NODE, check=False, capture_output=True, text=True)

    wrong = [line for line in told.stdout.splitlines() if ": error " in line]
    assert {line.partition("(")[0].rpartition("/")[2] for line in wrong} == {"bad.ts"}, wrong
    assert len(wrong) == 2


@needs_node
def test_the_languages_own_parsers_read_every_query() -> None:
    """Those of Prometheus' and Grafana's editors."""
    asked = {
        "promql": [filled(query) for query in METRIC_QUERIES] + ["sum("],
        "logql": [filled(query) for query in LOG_QUERIES] + ['{app="x'],
    }

    told = subprocess.run(
        ["node", "queries.mjs"],
        cwd=NODE,
        check=True,
        capture_output=True,
        text=True,
        input=json.dumps(asked),
    )

    assert {each["query"] for each in json.loads(told.stdout)} == {"sum(", '{app="x'}


def filled(query: str) -> str:
    """As Grafana sends it."""
    return re.sub(r"\$__(rate_interval|range|interval)", "5m", query)


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

    assert set(words) == {"Audit heartbeat saved"}
    assert all(word in lines for word in words)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    """As a rule file, with Grafana's variables filled in, promtool reads them all."""
    rules = [
        {"record": f"panel:{number}", "expr": filled(query)}
        for number, query in enumerate(METRIC_QUERIES)
    ]
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


@each_board
def test_panels_do_not_overlap(name: str) -> None:
    """Grafana would push them about."""
    panels = DASHBOARDS[name]["panels"]
    taken = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in panels
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


@each_board
def test_a_dashboard_can_be_provisioned_anywhere(name: str) -> None:
    """A fixed uid to link to, chosen data sources, the same variables, a way to the others."""
    board = DASHBOARDS[name]
    chosen = {item["name"]: item for item in board["templating"]["list"]}

    assert board["uid"] == f"taskhub-{name}"
    assert board["title"] == f"TaskHub / {BOARDS[name][0]}"
    assert board["description"].endswith((".", "?"))
    assert (board["refresh"], board["editable"], board["schemaVersion"]) == ("10s", False, 36)
    assert [chosen[each]["allValue"] for each in ("job", "instance", "unit")] == [".+"] * 3
    assert chosen["prometheus_datasource"]["type"] == "datasource"
    assert chosen["loki_datasource"]["type"] == "datasource"
    assert board["links"][0]["tags"] == board["tags"] == ["taskhub"]


def test_every_metric_panel_leads_to_the_log_lines_of_its_time() -> None:
    """From what is seen to why."""
    metric = [panel for panel in PANELS if panel["datasource"]["type"] == "prometheus"]

    assert metric
    for panel in metric:
        (link,) = panel["links"]
        assert link["url"].startswith("/d/taskhub-logs?${__url_time_range}&${job:queryparam}&")
