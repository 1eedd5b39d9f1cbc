"""The rules for Prometheus: understood, complete, tested one by one, and about what there is."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from tests.style.tree import ROOT
from tests.unit.deploy.test_dashboard import EXPOSED, GROUPING, MATCHER, SELECTOR

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = {path.stem: path.read_text() for path in (PROMETHEUS / "rules").glob("*.yml")}
CASES = (PROMETHEUS / "rules_test.yml").read_text()
ALERTS = {block.partition("\n")[0]: block for block in RULES["alerts"].split("- alert: ")[1:]}
RECORDED = set(re.findall(r"- record: (\S+)", RULES["recording"]))
OUTSIDE = {"job", "instance", "alertname"}
each_alert = pytest.mark.parametrize("name", ALERTS)


def told(*command: str) -> str:
    """What a program says of our files; skips where it is not."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    said = subprocess.run(command, cwd=PROMETHEUS, check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_every_alert_is_quiet_and_then_fires() -> None:
    """Over hours of made-up series, in a second: promtool test rules."""
    told("promtool", "test", "rules", "rules_test.yml")

    assert re.findall(r"  - name: (\w+)", CASES) == list(ALERTS)
    for name in ALERTS:
        case = CASES.split(f"  - name: {name}\n")[1].partition("  - name: ")[0]
        assert case.count("exp_samples: []") == 1
        assert case.count("value: 1") == 1


def test_alertmanager_understands_its_file() -> None:
    """As it stands there."""
    assert "SUCCESS" in told("amtool", "check-config", "alertmanager.yml")


@each_alert
def test_an_alert_says_what_to_do(name: str) -> None:
    """How bad, what it is, and the section that helps, which is there."""
    alert = ALERTS[name]
    page, _, anchor = alert.split("runbook_url: ")[1].split("\n")[0].partition("#")
    section = (ROOT / page).read_text().split(f"\n### {name}\n")

    assert re.search(r"labels: \{ severity: (critical|warning) \}", alert)
    assert alert.count("summary: ") == alert.count("description: ") == 1
    assert anchor == name.lower()
    assert len(section) == 2
    assert len(section[1].partition("\n###")[0]) > 40


def test_the_page_lists_every_alert_as_it_is() -> None:
    """How bad, after how long, on what."""
    (group,) = yaml.safe_load(RULES["alerts"])["groups"]
    rows = [
        f"| [{rule['alert']}](runbook.md#{rule['alert'].lower()}) | {rule['labels']['severity']} "
        f"| {rule.get('for', 'at once')} | `{' '.join(rule['expr'].split())}` |"
        for rule in group["rules"]
    ]

    page = (ROOT / "docs" / "alerts.md").read_text().splitlines()

    assert [line for line in page if line.startswith("| [")] == rows


@pytest.mark.parametrize("file", RULES)
def test_every_metric_of_a_rule_is_served(file: str) -> None:
    """With the labels that are asked for; a misspelt name never fires."""
    text = re.sub(r"(summary|description|runbook_url|record|alert): .*|#.*", "", RULES[file])
    found = SELECTOR.findall(text)
    names = {name for name, _ in found} | set(re.findall(r"\b(?:taskhub|process)_\w+", text))
    labels = {label.strip() for each in GROUPING.findall(text) for label in each.split(",")}

    bare = {name for name in names if not any(name in each for each in RECORDED)}
    assert bare - EXPOSED.keys() - {"up"} == set()
    known = set.union(OUTSIDE, *EXPOSED.values())
    assert labels <= known
    for name, matchers in found:
        assert set(MATCHER.findall(matchers)) <= EXPOSED.get(name, known) | OUTSIDE


@pytest.mark.parametrize("recorded", sorted(RECORDED))
def test_what_an_alert_reads_is_recorded(recorded: str) -> None:
    """And named as Prometheus' own rules say: level, metric, operation."""
    used = set(re.findall(r"instance\w*:\w+:\w+", RULES["alerts"]))

    assert used <= RECORDED
    assert re.fullmatch(r"[a-z_]+:taskhub_[a-z_]+:[a-z0-9_]+", recorded)


GAUGES = {"taskhub_actor_up", "taskhub_part_state", "taskhub_heartbeat_age_seconds", "up"}
GAUGES |= {"taskhub_schedule_overdue_seconds"}


@pytest.mark.parametrize("gauge", sorted(GAUGES))
def test_a_gauge_that_is_missing_silences_nothing(gauge: str) -> None:
    """Some alert fires when it is not there."""
    assert re.search(rf"absent\({gauge}\{{", RULES["alerts"])
