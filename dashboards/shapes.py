"""The shapes of a Grafana dashboard (classic JSON, for Grafana 9 to 13), without its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

WIDTH = 24  # columns of Grafana's grid
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus_datasource}"}
LOKI = {"type": "loki", "uid": "${loki_datasource}"}
SCHEMA = 36  # of Grafana 9; newer ones read it as it is


@dataclass(frozen=True)
class Query:
    """One query of a panel; `legend` names its series."""

    text: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """What a panel shows; `kind` is Grafana's type, `unit` its unit of the values."""

    title: str
    text: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    options: Json = field(default_factory=dict)
    limits: Sequence[tuple[str, float]] = ()
    """(colour, from this value on), beside green."""
    of_logs: bool = False
    """Whether its queries are for Loki."""


def rows(groups: Mapping[str, Sequence[Panel]]) -> list[Json]:
    """Every row with its panels below it, from left to right, numbered."""
    made: list[Json] = []
    y = 0
    for title, panels in groups.items():
        made.append(_row(title, y))
        y += 1
        x = height = 0
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            made.append(_panel(panel, x, y))
            x, height = x + panel.width, panel.height
        y += height
    return [{"id": number, **panel} for number, panel in enumerate(made, 1)]


def _row(title: str, y: int) -> Json:
    place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
    return {"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, x: int, y: int) -> Json:
    source = LOKI if panel.of_logs else PROMETHEUS
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": source,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "targets": [_target(panel, number, query) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": {**_options(panel), **panel.options},
    }


def _target(panel: Panel, number: int, query: Query) -> Json:
    target: Json = {
        "refId": "ABCDEFGH"[number],
        "datasource": LOKI if panel.of_logs else PROMETHEUS,
        "expr": query.text,
        "legendFormat": query.legend,
    }
    if panel.of_logs:
        return target | {"queryType": "range"}
    return target | {"range": panel.kind == "timeseries", "instant": panel.kind != "timeseries"}


def _defaults(panel: Panel) -> Json:
    if panel.kind == "logs":
        return {"unit": panel.unit}
    steps: list[Json] = [{"color": "green", "value": None}]
    steps += [{"color": colour, "value": value} for colour, value in panel.limits]
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "noValue": "0" if panel.kind == "stat" else "none",
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    return defaults


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none"}
    if panel.kind == "logs":
        return {
            "showTime": True,
            "wrapLogMessage": True,
            "enableLogDetails": True,
            "sortOrder": "Descending",
            "dedupStrategy": "none",
        }
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def source(name: str, label: str, kind: str) -> Json:
    """A variable for a data source, so that the dashboard works in any Grafana."""
    return {
        "type": "datasource",
        "name": name,
        "label": label,
        "query": kind,
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "regex": "",
        "current": {"selected": False, "text": "default", "value": "default"},
        "options": [],
    }


def label_values(name: str, label: str, query: str) -> Json:
    """A variable that offers the values of a label."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": f"{name}-values"},
        "refresh": 2,
        "hide": 0,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "regex": "",
        "sort": 1,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def textbox(name: str, label: str) -> Json:
    """A variable that one types."""
    empty = {"selected": True, "text": "", "value": ""}
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "hide": 0,
        "query": "",
        "current": empty,
        "options": [empty],
    }
