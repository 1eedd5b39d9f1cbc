"""What Grafana is provisioned with fits together, and shows nothing but Grafana."""

from __future__ import annotations

from typing import Any

import yaml

from dashboards import alerting
from tests.style.tree import ROOT
from tests.unit.deploy.test_alerts import ALERTS

DEPLOY = ROOT / "deploy"
PROVISIONING = DEPLOY / "grafana" / "provisioning"


def read(*path: str) -> Any:
    """One of the YAML files."""
    return yaml.safe_load(DEPLOY.joinpath(*path).read_text())


def test_the_provisioned_alerts_are_those_of_prometheus() -> None:
    """`make generate` makes them."""
    assert alerting.FILE.read_text() == alerting.provisioned()


def test_every_provisioned_alert_asks_a_provisioned_source() -> None:
    """One that it does not know, Grafana refuses with all others of the file."""
    sources = read("grafana", "provisioning", "datasources", "taskhub.yaml")["datasources"]
    (group,) = read("grafana", "provisioning", "alerting", "taskhub.yaml")["groups"]

    known = {source["uid"] for source in sources} | {"__expr__"}
    asked = {query["datasourceUid"] for rule in group["rules"] for query in rule["data"]}

    assert asked <= known
    assert [rule["title"] for rule in group["rules"]] == list(ALERTS)
    assert {rule["labels"]["severity"] for rule in group["rules"]} == {"critical", "warning"}
    assert {source["type"] for source in sources} == {"prometheus", "loki"}
    assert all("secureJsonData" not in source for source in sources)


def test_an_anonymous_viewer_can_look_and_not_touch() -> None:
    """With the names that Grafana's documentation has."""
    lines = (DEPLOY / "grafana" / "anonymous.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert values["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert values["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert values["GF_SERVER_ROOT_URL"].startswith("https://")
    assert values["GF_USERS_VIEWERS_CAN_EDIT"] == values["GF_USERS_ALLOW_SIGN_UP"] == "false"


def test_the_tunnel_shows_grafana_alone() -> None:
    """One host, Grafana's port, and for all else a 404 as the last rule."""
    shown, other = read("cloudflared", "config.yml")["ingress"]

    assert shown == {"hostname": "grafana.example.com", "service": "http://127.0.0.1:3000"}
    assert other == {"service": "http_status:404"}
