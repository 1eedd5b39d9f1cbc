"""Makes Grafana's own alerts of those for Prometheus; `python -m dashboards.build` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "prometheus" / "rules" / "alerts.yml"
FILE = DEPLOY / "grafana" / "provisioning" / "alerting" / "taskhub.yaml"
HEAD = (
    "# Made by `make generate` of deploy/prometheus/rules/alerts.yml: take the one or the other.\n"
)
SOURCE = "taskhub-prometheus"
NOW = {"from": 600, "to": 0}


def provisioned() -> str:
    """The content of the file."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules = [_rule(rule) for rule in group["rules"]]
    whole = {"orgId": 1, "name": "taskhub", "folder": "TaskHub", "interval": "1m", "rules": rules}
    document = {"apiVersion": 1, "groups": [whole]}
    return HEAD + yaml.safe_dump(document, sort_keys=False, width=100)


def _rule(rule: Json) -> Json:
    """What comes back from the query is what fires, whatever its value."""
    return {
        "uid": rule["alert"].lower(),
        "title": rule["alert"],
        "condition": "B",
        "data": [_query(rule["expr"]), _any()],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": rule.get("for", "0s"),
        "annotations": {
            name: text.replace("$value", "$values.A.Value")  # its word for the same
            for name, text in rule["annotations"].items()
        },
        "labels": rule["labels"],
    }


def _query(expression: str) -> Json:
    model = {"refId": "A", "expr": expression.strip(), "instant": True}
    return {"refId": "A", "relativeTimeRange": dict(NOW), "datasourceUid": SOURCE, "model": model}


def _any() -> Json:
    model = {"refId": "B", "type": "math", "expression": "is_number($A)"}
    return {"refId": "B", "datasourceUid": "__expr__", "model": model}
